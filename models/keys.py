"""Official state dicts under our names, with every key accounted for in both directions."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from models.checkpoint import CheckpointError

NAMED = 3  # how many wrong keys an error names
Rules = Sequence[tuple[str, str]]  # (pattern, replacement), applied one after the other


def renamed(key: str, rules: Rules) -> str:
    """`key` after all rules, in their order."""
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


def translate(
    source: Path, state: Mapping[str, Tensor], build: Callable[[], nn.Module], official: Callable[[str], str]
) -> dict[str, Tensor]:
    """`state` by the names of the module of `build`; `official` gives the name that a key of it has in the file.

    Sides of length one may come and go (1x1 kernels, leading batch sides). CheckpointError names, as the file would,
    what is missing, unexpected or of another shape.
    """
    with torch.device("meta"):
        wanted = {key: tuple(value.shape) for key, value in build().state_dict().items()}
    names = {key: official(key) for key in wanted}
    missing = [name for name in names.values() if name not in state]
    unexpected = sorted(state.keys() - set(names.values()))
    misshapen = [
        f"{name} is {list(state[name].shape)}, not {list(wanted[key])}"
        for key, name in names.items()
        if name in state and _sides(state[name].shape) != _sides(wanted[key])
    ]
    wrong = [
        f"{what} {', '.join(keys[:NAMED])}" + (f" and {len(keys) - NAMED} more" if len(keys) > NAMED else "")
        for what, keys in (("missing", missing), ("unexpected", unexpected), ("wrong shape", misshapen))
        if keys
    ]
    if wrong:
        raise CheckpointError(f"{source}: {'; '.join(wrong)}")
    return {key: state[name].reshape(wanted[key]) for key, name in names.items()}


def _sides(shape: Sequence[int]) -> list[int]:
    return [side for side in shape if side != 1]
