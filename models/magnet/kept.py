"""Keys and values that a sequence keeps from one step to the next (the idea of ReCAP, arXiv 2505.19089).

A cheap step evaluates the rows whose ids are others than when they were last evaluated, and those that it is asked for;
of all others it reads what they were then. What has moved since is the context that those were computed in.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.magnet.config import MAGNeTConfig


@dataclass(eq=False)
class Kept:
    """Of one branch. kv [blocks, 2, T, H, E]; ids [K, T], on the CPU: what each row showed when it was evaluated."""

    kv: Tensor
    ids: Tensor

    @classmethod
    def empty(cls, config: MAGNeTConfig, ids: Tensor, device: torch.device, dtype: torch.dtype) -> "Kept":
        """For rows of `ids` [K, T], none of which has been evaluated."""
        kv = torch.empty(config.depth, 2, ids.shape[1], config.heads, config.head_dim, device=device, dtype=dtype)
        return cls(kv, torch.full_like(ids, -1))

    def stale(self, ids: Tensor) -> Tensor:
        """Which rows show something else by now: bool [T]."""
        return (self.ids != ids).any(dim=0)


@dataclass(frozen=True)
class Writing:
    """The packed rows `begin` to `end` are the rows `at` [n] of a branch, whose keys and values are kept."""

    kept: Kept
    begin: int
    end: int
    at: Tensor

    def __call__(self, block: int, k: Tensor, v: Tensor) -> None:
        """k, v [R, H, E] of all rows."""
        keys, values = self.kept.kv[block]
        keys[self.at], values[self.at] = k[self.begin : self.end], v[self.begin : self.end]


@dataclass(frozen=True)
class Reading:
    """A run of one branch, of which only the rows `at` [n] are evaluated: they see what is kept of all.

    With `around` [n, W] (and which of these `there` are, bool [n, 1, 1, W]) each sees those rows alone.
    """

    kept: Kept
    at: Tensor
    around: Tensor | None = None
    there: Tensor | None = None

    @classmethod
    def of(cls, kept: Kept, at: Tensor, context: int | None) -> "Reading":
        """context: how far rows see to either side (None: everywhere)."""
        if context is None:
            return cls(kept, at)
        around = at.unsqueeze(-1) + torch.arange(-context, context + 1, device=at.device)
        last = kept.kv.shape[2] - 1
        there = (around >= 0) & (around <= last)
        return cls(kept, at, around.clamp(0, last), there[:, None, None])

    @property
    def count(self) -> int:
        return len(self.at)

    def __call__(self, block: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q [n, H, E] -> [n, H, E]; its own keys and values are kept already."""
        k, v = self.kept.kv[block]  # [T, H, E]
        if self.around is None:
            q, k, v = (t.transpose(0, 1).unsqueeze(0) for t in (q, k, v))  # [1, H, ., E]
            return F.scaled_dot_product_attention(q, k, v)[0].transpose(0, 1)
        k, v = (t[self.around].transpose(1, 2) for t in (k, v))  # [n, H, W, E]
        return F.scaled_dot_product_attention(q.unsqueeze(2), k, v, attn_mask=self.there).squeeze(2)


@dataclass(frozen=True)
class Newest:
    """A run of one branch of which the row `at` alone is evaluated: it sees what is kept of those before it."""

    kept: Kept
    at: int

    @property
    def count(self) -> int:
        return 1

    def __call__(self, block: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q [1, H, E] -> [1, H, E]; its own key and value are kept already."""
        k, v = self.kept.kv[block, :, : self.at + 1]
        q, k, v = (t.transpose(0, 1).unsqueeze(0) for t in (q, k, v))  # [1, H, ., E]
        return F.scaled_dot_product_attention(q, k, v)[0].transpose(0, 1)
