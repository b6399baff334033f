"""Tensors of a checkpoint: saving, loading, and saying what does not fit."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.checkpoint import (
    CONFIG,
    WEIGHTS,
    CheckpointConfig,
    CheckpointError,
    tensor_shapes,
    weight_files,
)

M = TypeVar("M", bound=nn.Module)
NAMED = 3  # how many wrong keys an error names


def save_checkpoint(
    directory: Path,
    config: CheckpointConfig,
    state: Mapping[str, Tensor],
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write config.json and model.safetensors, each replaced in one step.

    Floating tensors are stored as `dtype`; CheckpointError when a value does not survive that
    (overflow or a NaN). The model card is the caller's.
    """
    tensors = {key: _stored(value, dtype) for key, value in state.items()}
    for key, value in tensors.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise CheckpointError(f"{directory}: {key} is not finite as {dtype}")
    directory.mkdir(parents=True, exist_ok=True)
    weights = directory / f".{WEIGHTS}.new"
    save_file(tensors, weights)
    weights.chmod(0o644)  # safetensors writes for its owner alone
    os.replace(weights, directory / WEIGHTS)
    text = directory / f".{CONFIG}.new"
    text.write_text(config.model_dump_json(indent=2, exclude_none=True) + "\n", encoding="utf-8")
    os.replace(text, directory / CONFIG)


def _stored(value: Tensor, dtype: torch.dtype) -> Tensor:
    kept = value.detach().cpu()
    return (kept.to(dtype) if kept.is_floating_point() else kept).clone().contiguous()


def load_state(directory: Path) -> dict[str, Tensor]:
    """Every tensor of the directory's weight files, floating ones as float32, on the CPU."""
    tensor_shapes(directory)  # damaged files and repeated keys, in one line each
    state = {key: v for path in weight_files(directory) for key, v in load_file(path).items()}
    return {key: v.float() if v.is_floating_point() else v for key, v in state.items()}


def load_module(module: M, directory: Path) -> M:
    """Load the directory's weights into `module` and return it in evaluation mode.

    CheckpointError names the first missing, unexpected and mis-shaped tensors.
    """
    wrong = mismatches(module, tensor_shapes(directory))
    if wrong:
        raise CheckpointError(f"{directory}: the weights do not fit: {'; '.join(wrong)}")
    module.load_state_dict(load_state(directory))
    return module.eval()


def mismatches(module: nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """How stored tensors differ from what `module` needs: missing, unexpected, mis-shaped.

    `module` may live on the meta device.
    """
    wanted = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    missing = [key for key in wanted if key not in shapes]
    unexpected = [key for key in shapes if key not in wanted]
    misshapen = [
        f"{key} is {list(shapes[key])}, not {list(shape)}"
        for key, shape in wanted.items()
        if key in shapes and shapes[key] != shape
    ]
    named = (("missing", missing), ("unexpected", unexpected), ("wrong shape", misshapen))
    return [f"{what} {_first(keys)}" for what, keys in named if keys]


def _first(keys: list[str]) -> str:
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    return ", ".join(keys[:NAMED]) + more
