"""The four tasks: which frames a network is shown, and how blocks follow each other.

Frames are channels, [n * C, S, S].
"""

from collections.abc import Sequence
from enum import StrEnum
from math import ceil
from typing import TypeVar

import torch
from torch import Tensor

from models.mcvd.config import MCVDConfig

T = TypeVar("T")


class Task(StrEnum):
    """What is made of the frames given: those after them, between them, before them, or any."""

    PREDICTION = "prediction"
    INTERPOLATION = "interpolation"
    PAST = "past"
    UNCONDITIONAL = "unconditional"


SHOWS_PAST = frozenset({Task.PREDICTION, Task.INTERPOLATION})
SHOWS_FUTURE = frozenset({Task.INTERPOLATION, Task.PAST})


def shown_frames(config: MCVDConfig, task: Task, past: Tensor | None = None, future: Tensor | None = None) -> Tensor:
    """The frames around the first block, [K, S, S]: the last of `past`, the first of `future`, zeros where hidden.

    Frames that the task hides are not looked at. ValueError for a task that the network was not trained for, for
    missing frames and for frames of another size.
    """
    if task not in config.tasks:
        raise ValueError(f"the model is for {', '.join(config.tasks)}, not for {task}")
    side = config.resolution
    before = _given("past", past, config, config.past)[-config.past_channels :] if task in SHOWS_PAST else None
    behind_channels = config.shown_channels - config.past_channels
    behind = _given("future", future, config, config.future)[:behind_channels] if task in SHOWS_FUTURE else None
    return torch.cat(
        [
            torch.zeros(config.past_channels, side, side) if before is None else before,
            torch.zeros(behind_channels, side, side) if behind is None else behind,
        ]
    )


def _given(which: str, frames: Tensor | None, config: MCVDConfig, least: int) -> Tensor:
    size = (config.resolution, config.resolution)
    if frames is None or frames.shape[1:] != size or len(frames) % config.channels:
        shape = "nothing" if frames is None else "x".join(map(str, frames.shape))
        raise ValueError(f"{which} frames are {config.channels}n x {size[0]} x {size[1]} numbers, not {shape}")
    if len(frames) < least * config.channels:
        raise ValueError(f"{least} {which} frames are needed, not {len(frames) // config.channels}")
    return frames


def past_shown(task: Task, block: int) -> bool:
    """Whether the past frames of block `block` are frames, and not zeros."""
    return task in SHOWS_PAST or (task is Task.UNCONDITIONAL and block > 0)


def blocks_of(config: MCVDConfig, task: Task, total: int) -> int:
    """How many blocks make `total` frames. ValueError for none, and for more than one block between given frames."""
    if total < 1:
        raise ValueError(f"at least one frame is to be made, not {total}")
    if task is Task.INTERPOLATION and total != config.frames:
        raise ValueError(f"{config.frames} frames fit between those given, not {total}")
    return ceil(total / config.frames)


def next_shown(config: MCVDConfig, task: Task, shown: Tensor, made: Tensor) -> Tensor:
    """The frames around the block after (with `Task.PAST` before) the block `made` [F * C, S, S].

    Past frames move on by a block; where fewer are made than shown, older ones stay, the zeros of a first unconditional
    block among them, as in the published code. What is hidden stays hidden.
    """
    past, future = shown.split([config.past_channels, config.shown_channels - config.past_channels])
    if task is Task.PAST:
        return torch.cat([past, torch.cat([made, future])[: len(future)]])
    return torch.cat([torch.cat([past, made])[-len(past) :], future])


def in_order(task: Task, blocks: Sequence[T]) -> list[T]:
    """Blocks in the order in which they were made -> in time's order."""
    return list(blocks[::-1] if task is Task.PAST else blocks)


def wanted(task: Task, total: int) -> slice:
    """Which of the frames of all blocks, in time's order, were asked for."""
    return slice(-total, None) if task is Task.PAST else slice(total)
