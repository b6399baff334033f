"""The state of a sequence of frames, and its plan: every network call is a step, the last one of a block reveals it."""

from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from models.decoder import Sequence
from models.decoding.plan import Plan
from models.mcvd.clip import Clip
from models.mcvd.config import MCVDConfig
from models.mcvd.pixels import to_frames
from models.mcvd.samplers import Sampler, calls_of
from models.mcvd.tasks import in_order, wanted


@dataclass(eq=False, kw_only=True)
class ClipSequence(Sequence):
    """frames: of the blocks that are done, uint8 [F, H, W, C] each, in the order in which they were made."""

    clip: Clip
    train_steps: int
    samplers: tuple[Sampler, ...]
    frames: list[np.ndarray]
    finished: bool = False

    @property
    def call(self) -> int:
        """Network calls of the block that is being made."""
        clip = self.clip
        return clip.block.call if clip.block is not None else clip.begun.call if clip.begun is not None else 0

    def shown(self, estimated: bool = False) -> np.ndarray:
        """Frames of the blocks that are done, and of what the current one is `estimated` to become."""
        clip = self.clip
        blocks = list(self.frames)
        if estimated and clip.block is not None and clip.block.call:
            blocks.append(to_frames(clip.block.estimate, clip.config.channels))
        if not blocks:
            return np.zeros((0, clip.config.resolution, clip.config.resolution, clip.config.channels), np.uint8)
        frames = np.concatenate(in_order(clip.task, blocks))
        return frames[wanted(clip.task, clip.total)] if len(blocks) == len(self.samplers) else frames


def planned(config: MCVDConfig, total: int, samplers: Seq[Sampler]) -> Plan:
    """What every call reveals, in frames."""
    groups: list[tuple[int]] = []
    for at, sampler in enumerate(samplers):
        calls = calls_of(config.train_steps, sampler)
        groups += [(0,)] * (calls - 1) + [(min(config.frames, total - at * config.frames),)]
    return Plan(tuple(groups))


def shortened(seq: ClipSequence, steps_left: int, least: int) -> tuple[Sampler, ...]:
    """Blocks that have not begun get equally many steps, so that all take `steps_left` calls at most, as far as that
    is possible.
    """
    begun = seq.clip.index + (seq.call > 0)
    open_blocks = len(seq.samplers) - begun
    if not open_blocks:
        return seq.samplers
    spent = 0
    if seq.call:
        spent = calls_of(seq.train_steps, seq.samplers[begun - 1]) - seq.call
    share = (steps_left - spent) // open_blocks
    sampler = seq.samplers[-1]
    extra = calls_of(seq.train_steps, sampler) - sampler.steps
    steps = min(max(share - extra, least), sampler.steps)
    return (*seq.samplers[:begun], *(replace(one, steps=min(steps, one.steps)) for one in seq.samplers[begun:]))


def own(seq: Sequence) -> ClipSequence:
    return cast(ClipSequence, seq)
