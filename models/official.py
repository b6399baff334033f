"""Official weight files: read as plain data (nothing in them is ever executed), and written as such."""

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from models.checkpoint import CheckpointError, tensor_shapes
from models.weights import load_state, mismatches


def read_official(source: Path, nested: str | None = None) -> dict[str, Tensor]:
    """The state dict of a `.safetensors` file or of a torch file, on the CPU, floats as float32.

    `nested` names the entry that may hold the state dict. CheckpointError, in one line, for anything that is not
    name -> tensor.
    """
    content = read_content(source)
    if isinstance(content, dict) and nested in content:
        content = content[nested]
    state = state_of(source, content)
    return {key: v.float() if v.is_floating_point() else v for key, v in state.items()}


def read_content(source: Path) -> Any:
    """What a `.safetensors` file or a torch file holds, on the CPU; torch files are read with `weights_only=True`.

    CheckpointError, in one line, for anything else.
    """
    try:
        if source.suffix == ".safetensors":
            return load_file(source)
        return torch.load(source, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{source}: {error.strerror or error}") from None
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{source}: cannot be read as plain weights: {reason}") from None


def state_of(source: Path, content: Any) -> dict[str, Tensor]:
    """`content` of the file `source` as a state dict. CheckpointError where it is none."""
    if not isinstance(content, dict):
        raise CheckpointError(f"{source}: holds a {type(content).__name__}, not a state dict")
    strangers = [str(key) for key, value in content.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if strangers:
        raise CheckpointError(f"{source}: not tensors: {', '.join(strangers[:3])}")
    return content


def official_state(module: nn.Module, directory: Path) -> dict[str, Tensor]:
    """The weights of checkpoint `directory` by `module`'s names and in their order, floats as float32.

    `module` may live on the meta device; CheckpointError where the weights do not fit it.
    """
    wrong = mismatches(module, tensor_shapes(directory))
    if wrong:
        raise CheckpointError(f"{directory}: the weights do not fit: {'; '.join(wrong)}")
    stored = load_state(directory)
    return {key: stored[key] for key in module.state_dict()}


def write_official(path: Path, content: Mapping[str, Any]) -> None:
    """Write a torch file of plain tensors that `weights_only=True` reads. Raises OSError."""
    try:
        with path.open("wb") as file:
            torch.save(dict(content), file)
    except RuntimeError as error:  # what torch makes of a failed write
        raise OSError(str(error).splitlines()[0]) from None


def check_fits(source: Path, state: Mapping[str, Tensor], build: Callable[[], nn.Module]) -> None:
    """CheckpointError names the first tensors that are missing, unexpected or mis-shaped for the module of `build`."""
    with torch.device("meta"):
        module = build()
    if wrong := mismatches(module, {key: tuple(value.shape) for key, value in state.items()}):
        raise CheckpointError(f"{source}: {'; '.join(wrong)}")


def shape_of(source: Path, state: Mapping[str, Tensor], key: str, sides: int = 1) -> tuple[int, ...]:
    """The shape of one tensor of `sides` sides at least; CheckpointError names the key when the file has none such."""
    if key not in state:
        raise CheckpointError(f"{source}: {key} is missing, so this is another layout")
    shape = tuple(state[key].shape)
    if len(shape) < sides or 0 in shape:
        raise CheckpointError(f"{source}: wrong shape {key} is {list(shape)}, so this is another layout")
    return shape


def numbered(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many different numbers follow `prefix` in the keys: its blocks or levels."""
    rest = (key[len(prefix) :] for key in state if key.startswith(prefix))
    return len({tail.split(".", 1)[0] for tail in rest})
