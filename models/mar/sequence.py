"""The state of a MAR sequence: tokens, what is known of them, and where it stands in steps and chains."""

from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from models.decoder import Sequence
from models.mar.chain import Chain
from models.mar.pack import Branch


@dataclass(eq=False, kw_only=True)
class MARSequence(Sequence):
    """The positions in `order` [U] are revealed from the front; all others were `given` [G], rising.

    tokens [L, C] float32, zeros where unknown; scales: guidance per step; lengths: of the chains of full and of reuse
    steps; kept: K/V slots (encoder, decoder) per branch, inside a group.
    """

    key: int
    label: int
    order: Tensor
    given: Tensor
    tokens: Tensor
    written: Tensor  # [L] by which step, from 1 on; 0 where given or unknown
    scales: tuple[float, ...]
    lengths: tuple[int, int]
    guided: bool
    buffer_kept: bool
    bounds: frozenset[int]
    kept: list[tuple[int, int]] = field(default_factory=list)
    chain: Chain | None = None
    encoded: bool = True  # false while the uploaded picture waits for the tokenizer
    finished: bool = False

    @property
    def full_next(self) -> bool:
        """Whether the next step begins a group."""
        return self.step in self.bounds

    @property
    def opens(self) -> bool:
        """Whether it begins one whose reuse steps will read its keys and values."""
        return self.full_next and self.step + 1 not in self.bounds

    @property
    def closes(self) -> bool:
        """Whether the next step is the last of its group."""
        return self.step + 1 in self.bounds

    @property
    def branches(self) -> int:
        return 2 if self.guided else 1

    @property
    def chain_length(self) -> int:
        """Of the next step's tokens."""
        return self.lengths[0 if self.full_next else 1]

    @property
    def known_mask(self) -> Tensor:
        """bool [L]"""
        mask = self.written > 0
        mask[self.given] = True
        return mask

    def branch(self, kept: tuple[int, int] | None) -> Branch:
        """The next step; inside a group positions are revealed in rising order."""
        targets, before = self.plan.targets[self.step]
        settled = sum(self.plan.reveals[: self.step]) - before
        group = self.order[settled : settled + targets].sort().values
        wanted = group[before : before + self.plan.reveals[self.step]]
        if self.full_next:
            shown = torch.cat([self.given, self.order[:settled]]).sort().values
            return Branch(self.tokens, shown, wanted, kept)
        known = len(self.given) + settled
        return Branch(self.tokens, group[:before], wanted, kept, group, known, not self.buffer_kept)


def own(seq: Sequence) -> MARSequence:
    return cast(MARSequence, seq)
