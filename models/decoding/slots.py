"""Fixed K/V slots: ReCAP without concatenation.

Kept rows (L - n) plus fresh rows (n + 1) are always L + 1, so a reuse step overwrites its own rows in place and attends
to the whole slot. A sequence holds a slot per guidance branch, from the first full step of a group to its end.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


class KVSlots:
    """[blocks, 2, capacity * rows, heads, head_dim], grown by a quarter; slot i owns `rows` rows from i * rows on."""

    def __init__(self, blocks: int, rows: int, heads: int, head_dim: int, device: str, dtype: torch.dtype) -> None:
        self.rows = rows
        self.store = torch.empty(blocks, 2, 0, heads, head_dim, device=device, dtype=dtype)
        self.free: list[int] = []
        self.capacity = 0

    def take(self, count: int) -> list[int]:
        while len(self.free) < count:
            self._grow()
        return [self.free.pop() for _ in range(count)]

    def give(self, slots: Sequence[int]) -> None:
        self.free.extend(slots)

    @property
    def in_use(self) -> int:
        return self.capacity - len(self.free)

    @property
    def slot_bytes(self) -> int:
        blocks, _, _, heads, head_dim = self.store.shape
        return blocks * 2 * self.rows * heads * head_dim * self.store.element_size()

    def _grow(self) -> None:
        more = max(4, self.capacity // 4)
        blocks, two, _, heads, head_dim = self.store.shape
        added = self.store.new_zeros(blocks, two, more * self.rows, heads, head_dim)
        self.store = torch.cat([self.store, added], dim=2)
        self.free.extend(range(self.capacity, self.capacity + more))
        self.capacity += more


@dataclass(frozen=True)
class PackedAttention:
    """Who attends to whom in a packed batch: `full` branches of `slots.rows` rows each, then ragged reuse branches.

    keep: (branches [N], slots [N]): full branches whose keys and values the reuse steps to come will read;
    write: store rows [M] that the reuse rows overwrite; reuse: (rows, slot) per reuse branch.
    """

    slots: KVSlots
    full: int
    keep: tuple[Tensor, Tensor] | None
    write: Tensor | None
    reuse: Sequence[tuple[int, int]]

    def __call__(self, block: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        length = self.slots.rows
        dense = self.full * length
        keys, values = self.slots.store[block].unbind()
        parts = []
        if self.full:
            qf, kf, vf = (t[:dense].view(self.full, length, *t.shape[1:]) for t in (q, k, v))
            mixed = F.scaled_dot_product_attention(  # [F, H, L+1, E]
                qf.transpose(1, 2), kf.transpose(1, 2), vf.transpose(1, 2)
            )
            parts.append(mixed.transpose(1, 2).flatten(0, 1))
            if self.keep is not None:
                branches, held = self.keep
                keys.unflatten(0, (-1, length))[held] = kf[branches]
                values.unflatten(0, (-1, length))[held] = vf[branches]
        if self.write is not None:
            fresh = slice(dense, dense + len(self.write))
            keys.index_copy_(0, self.write, k[fresh])
            values.index_copy_(0, self.write, v[fresh])
        at = dense
        for count, slot in self.reuse:
            own = slice(slot * length, (slot + 1) * length)
            qr, kr, vr = (t.transpose(0, 1).unsqueeze(0) for t in (q[at : at + count], keys[own], values[own]))
            mixed = F.scaled_dot_product_attention(qr, kr, vr)  # [1, H, n+1, E]
            parts.append(mixed.squeeze(0).transpose(0, 1))
            at += count
        if at < len(q):
            parts.append(q.new_zeros(len(q) - at, *q.shape[1:]))  # padding rows
        return parts[0] if len(parts) == 1 else torch.cat(parts)  # [R, H, E]
