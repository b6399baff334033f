"""Attention over packed rows of many branches: full, within a band, and to texts.

The size of every call comes from a branch itself, or is the same for all, so a branch's bits do not depend on its
neighbours. Branches of equal length side by side are one call, and so are all blocks of banded ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from models.magnet.kept import Writing

BLOCK = 32  # queries of a banded call: larger ones compute more beyond the band, smaller ones copy more keys


class Run(Protocol):
    """Branches side by side that are evaluated together."""

    @property
    def count(self) -> int:
        """Their rows."""

    def __call__(self, block: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v [count, H, E] of a block of the network -> [count, H, E]."""
        ...


@dataclass(frozen=True)
class Full:
    """`branches` of `length` rows each, of which every one sees all of its branch, or what stands before it."""

    branches: int
    length: int
    causal: bool = False

    @property
    def count(self) -> int:
        return self.branches * self.length

    def __call__(self, block: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (t.unflatten(0, (self.branches, self.length)).transpose(1, 2) for t in (q, k, v))  # [b, H, T, E]
        return F.scaled_dot_product_attention(q, k, v, is_causal=self.causal).transpose(1, 2).flatten(0, 1)


@dataclass(frozen=True)
class Band:
    """Rows that see their neighbours of the same branch up to a distance c: n blocks of queries and the keys around.

    Blocks are filled up at the end of a branch; what they compute there is not read.
    """

    query: Tensor  # [n, BLOCK] rows
    key: Tensor  # [n, BLOCK + 2c] rows
    mask: Tensor  # [n, 1, BLOCK, BLOCK + 2c] bool: who sees whom
    place: Tensor  # [count] where in the blocks' rows the result of each row lies

    @classmethod
    def of(cls, lengths: Sequence[int], context: int, device: torch.device) -> "Band":
        """Branches of `lengths` rows, one behind the other."""
        blocks = torch.tensor([-(-length // BLOCK) for length in lengths])
        first = torch.tensor([at * BLOCK for n in blocks.tolist() for at in range(n)]).unsqueeze(-1)  # [n, 1]
        length = torch.tensor(lengths).repeat_interleave(blocks).unsqueeze(-1)
        start = (torch.tensor(lengths).cumsum(0) - torch.tensor(lengths)).repeat_interleave(blocks).unsqueeze(-1)
        query = first + torch.arange(BLOCK)  # places in the branch
        key = first + torch.arange(-context, BLOCK + context)
        near = (query.unsqueeze(-1) - key.unsqueeze(-2)).abs() <= context
        there = (key >= 0) & (key < length)
        filling = query >= length  # sees whatever is near: a row without keys would not be a number
        mask = near & (there.unsqueeze(-2) | filling.unsqueeze(-1))
        return cls(
            query=(start + query.minimum(length - 1)).to(device),
            key=(start + key.clamp(min=0).minimum(length - 1)).to(device),
            mask=mask.unsqueeze(1).to(device),
            place=(~filling).flatten().nonzero().squeeze(-1).to(device),
        )

    @property
    def count(self) -> int:
        return len(self.place)

    def __call__(self, block: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (t[at].transpose(1, 2) for t, at in ((q, self.query), (k, self.key), (v, self.key)))  # [n, H, ., E]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask)
        return mixed.transpose(1, 2).flatten(0, 1)[self.place]


@dataclass(frozen=True)
class PackedVisible:
    """`runs` in the order of the rows, `texts` (rows, memory [blocks, 2, N, H, E]) in that of the first branches;
    `writings`: of which rows keys and values are kept.

    Rows behind them are padding and give zeros. `texted` may reach beyond the branches that have a text.
    """

    runs: Sequence[Run]
    texts: Sequence[tuple[int, Tensor]]
    texted: int
    writings: Sequence[Writing] = ()

    def rows(self, block: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v [R, H, E] -> [R, H, E]."""
        for write in self.writings:
            write(block, k, v)
        parts: list[Tensor] = []
        at = 0
        for run in self.runs:
            end = at + run.count
            parts.append(run(block, q[at:end], k[at:end], v[at:end]))
            at = end
        return _filled(parts, at, q)

    def text(self, block: int, q: Tensor) -> Tensor:
        """q [texted, H, E] -> [texted, H, E]: samples of one request, side by side, are one call."""
        parts: list[Tensor] = []
        at = 0
        for (rows, _), some in groupby(self.texts, key=lambda text: (text[0], id(text[1]))):
            memories = [memory for _, memory in some]
            end = at + rows * len(memories)
            k, v = memories[0][block].transpose(1, 2).unsqueeze(1).expand(-1, len(memories), -1, -1, -1)
            queries = q[at:end].unflatten(0, (len(memories), rows)).transpose(1, 2)  # [b, H, T, E]
            parts.append(F.scaled_dot_product_attention(queries, k, v).transpose(1, 2).flatten(0, 1))
            at = end
        return _filled(parts, at, q)


def _filled(parts: list[Tensor], rows: int, like: Tensor) -> Tensor:
    """The parts, `rows` in all, and zeros up to as many as `like` has."""
    if rows < len(like):
        parts.append(like.new_zeros(len(like) - rows, *like.shape[1:]))
    return parts[0] if len(parts) == 1 else torch.cat(parts)
