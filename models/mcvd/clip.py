"""The state of a clip that is being made: block by block, each from noise."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from models.mcvd.condition import Condition
from models.mcvd.config import MCVDConfig
from models.mcvd.paste import Known
from models.mcvd.samplers import Sampler
from models.mcvd.tasks import Task, blocks_of, in_order, next_shown, past_shown, shown_frames, wanted


@dataclass(frozen=True)
class Block:
    """A block that is being made, `call` network calls after its beginning: x and estimate float32 [F * C, S, S].

    estimate: what the last call took the block to be, for previews.
    """

    condition: Condition
    x: Tensor
    estimate: Tensor
    known: Known | None
    call: int = 0


@dataclass(frozen=True)
class Begun:
    """A block that was begun elsewhere: x [F * C, S, S] behind `call` network calls."""

    x: Tensor
    call: int


@dataclass(eq=False, kw_only=True)
class Clip:
    """`total` frames to be made by `sampler`, which may change between blocks; frames are channels.

    shown [K, S, S]: the frames around the next block, number `index`; made: the blocks that are done, as far as they
    were not taken; begun: where the next block goes on.
    """

    config: MCVDConfig
    key: int
    task: Task
    sampler: Sampler
    total: int
    shown: Tensor
    known: Known | None = None
    index: int = 0
    made: list[Tensor] = field(default_factory=list)
    block: Block | None = None
    begun: Begun | None = None

    @classmethod
    def begin(
        cls,
        config: MCVDConfig,
        key: int,
        task: Task,
        sampler: Sampler,
        total: int,
        past: Tensor | None = None,
        future: Tensor | None = None,
        known: Known | None = None,
    ) -> "Clip":
        """From the frames that `task` needs or more of them, [n * C, S, S]; `key` is a `sequence_key`.

        ValueError for what the network cannot do.
        """
        blocks_of(config, task, total)
        if known is not None and len(known.values) != total * config.channels:
            raise ValueError(f"known pixels are those of {total} frames, not of {len(known.values) // config.channels}")
        shown = shown_frames(config, task, past, future)
        return cls(config=config, key=key, task=task, sampler=sampler, total=total, shown=shown, known=known)

    @property
    def done(self) -> bool:
        return self.index == blocks_of(self.config, self.task, self.total)

    @property
    def past_shown(self) -> bool:
        """To the next block."""
        return past_shown(self.task, self.index)

    @property
    def known_next(self) -> Known | None:
        """Of the next block."""
        return self.known and self.known.block(self.config, self.task, self.index, self.total)

    @property
    def frames(self) -> Tensor:
        """[total * C, S, S] in time's order, of a clip that is done and of which none were taken."""
        return torch.cat(in_order(self.task, self.made))[wanted(self.task, self.total * self.config.channels)]

    def take(self) -> list[Tensor]:
        """The blocks that were done since the last time; the clip forgets them."""
        made, self.made = self.made, []
        return made

    def end_block(self, made: Tensor) -> None:
        """The next block will be shown `made`."""
        self.made.append(made)
        self.index += 1
        self.shown = next_shown(self.config, self.task, self.shown, made)
        self.block = None
