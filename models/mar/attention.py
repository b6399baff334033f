"""Attention over packed rows of many branches: each sees its own rows, or a fixed slot of kept keys and values.

A query's row count and key count come from its own branch, never from its neighbours, so its bits do not depend on
them; branches of equal length side by side are one call, which does not change bits either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor

from models.decoding.slots import KVSlots


@dataclass(frozen=True)
class Span:
    """The rows of one branch in one stack.

    slot: where its keys and values are kept (None: nowhere). write: for a reuse step, the rows of that slot which the
    branch's own rows overwrite; the branch then sees the first `keys` rows of the slot.
    """

    rows: int
    slot: int | None = None
    write: Tensor | None = None
    keys: int = 0


@dataclass(frozen=True)
class Ragged:
    """`spans` in the order of the packed rows; rows behind them are padding and give zeros."""

    spans: Sequence[Span]
    slots: KVSlots | None = None
    dropout: float = 0.0

    def __call__(self, block: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v [R, H, E] -> [R, H, E]."""
        parts: list[Tensor] = []
        at = 0
        for (rows, _), some in groupby(self.spans, key=_call):
            spans = list(some)
            end = at + rows * len(spans)
            own = (t[at:end].unflatten(0, (len(spans), rows)) for t in (q, k, v))  # [b, r, H, E]
            parts.append(self._attend(block, spans, *own))
            at = end
        if at < len(q):
            parts.append(q.new_zeros(len(q) - at, *q.shape[1:]))
        return torch.cat(parts)

    def _attend(self, block: int, spans: list[Span], q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self.slots is not None:
            k, v = self._kept(self.slots, block, spans, k, v)
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))  # [b, H, r, E]
        return F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout).transpose(1, 2).flatten(0, 1)

    def _kept(self, slots: KVSlots, block: int, spans: list[Span], k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Write the spans' keys and values where they belong; what the spans see."""
        stores = slots.store[block].unflatten(1, (-1, slots.rows))  # [2, slots, rows, H, E]
        reuse = spans[0]
        if reuse.write is not None:  # a span of its own
            for store, fresh in zip(stores, (k, v), strict=True):
                store[reuse.slot, reuse.write] = fresh[0]
            keys, values = stores[:, reuse.slot, : reuse.keys].unsqueeze(1)
            return keys, values
        for span, key, value in zip(spans, k, v, strict=True):
            if span.slot is not None:
                stores[0, span.slot, : span.rows] = key
                stores[1, span.slot, : span.rows] = value
        return k, v


def _call(span: Span) -> tuple[int, int | None]:
    """What neighbouring spans must have in common to share a call: reuse steps share none, a slot is theirs alone."""
    return span.rows, None if span.write is None else span.slot
