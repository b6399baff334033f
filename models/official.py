"""Reading official weight files as plain data: nothing in them is ever executed."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from models.checkpoint import CheckpointError


def read_official(source: Path, nested: str | None = None) -> dict[str, Tensor]:
    """The state dict of a `.safetensors` file or of a torch file, on the CPU, floats as float32.

    Torch files are read with `weights_only=True`; `nested` names the entry that may hold the state
    dict. CheckpointError, in one line, for anything that is not name -> tensor.
    """
    content: Any
    try:
        if source.suffix == ".safetensors":
            content = load_file(source)
        else:
            content = torch.load(source, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{source}: {error.strerror or error}") from None
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{source}: cannot be read as plain weights: {reason}") from None
    if isinstance(content, dict) and nested in content:
        content = content[nested]
    if not isinstance(content, dict):
        raise CheckpointError(f"{source}: holds a {type(content).__name__}, not a state dict")
    strangers = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if strangers:
        raise CheckpointError(f"{source}: not tensors: {', '.join(strangers[:3])}")
    return {key: v.float() if v.is_floating_point() else v for key, v in content.items()}


def shape_of(source: Path, state: Mapping[str, Tensor], key: str) -> tuple[int, ...]:
    """The shape of one tensor; CheckpointError names the key when the file lacks it."""
    if key not in state:
        raise CheckpointError(f"{source}: {key} is missing, so this is another layout")
    return tuple(state[key].shape)


def numbered(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many different numbers follow `prefix` in the keys: its blocks or levels."""
    rest = (key[len(prefix) :] for key in state if key.startswith(prefix))
    return len({tail.split(".", 1)[0] for tail in rest})
