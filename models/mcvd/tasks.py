"""The four tasks: which frames a network is shown, and how blocks follow each other.

Frames are channels, [n * C, S, S].
"""

from enum import StrEnum
from math import ceil

import torch
from torch import Tensor

from models.mcvd.config import MCVDConfig


class Task(StrEnum):
    """What is made of the frames given: those after them, between them, before them, or any."""

    PREDICTION = "prediction"
    INTERPOLATION = "interpolation"
    PAST = "past"
    UNCONDITIONAL = "unconditional"


SHOWS_PAST = frozenset({Task.PREDICTION, Task.INTERPOLATION})
SHOWS_FUTURE = frozenset({Task.INTERPOLATION, Task.PAST})


def tasks_of(config: MCVDConfig) -> frozenset[Task]:
    """Those whose hidden frames were hidden in training, too."""
    hides_past, hides_future = config.mask_past > 0.0, config.future == 0 or config.mask_future > 0.0
    fits = {
        Task.PREDICTION: hides_future,
        Task.INTERPOLATION: config.future > 0,
        Task.PAST: config.future > 0 and hides_past,
        Task.UNCONDITIONAL: hides_past and hides_future,
    }
    return frozenset(task for task in Task if fits[task])


def shown_frames(config: MCVDConfig, task: Task, past: Tensor | None = None, future: Tensor | None = None) -> Tensor:
    """The frames around the first block, [K, S, S]: the last of `past`, the first of `future`, zeros where hidden.

    Frames that the task hides are not looked at. ValueError for a task that the network was not trained for, for
    missing frames and for frames of another size.
    """
    if task not in tasks_of(config):
        raise ValueError(f"the model is for {', '.join(sorted(tasks_of(config)))}, not for {task}")
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


def joined(config: MCVDConfig, task: Task, blocks: list[Tensor], total: int) -> Tensor:
    """Blocks [F * C, S, S] in the order in which they were made -> the `total` frames asked for, in time's order."""
    if task is Task.PAST:
        return torch.cat(blocks[::-1])[-total * config.channels :]
    return torch.cat(blocks)[: total * config.channels]
