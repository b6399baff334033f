"""Counter-based noise: the numbers of a row depend on its own key, step, purpose and position, never on neighbours.

Philox 4x32-10 (Salmon et al., SC'11) in integer arithmetic, turned into floats by our own code, so that every device
and torch version draws the same numbers.
"""

import hashlib
import math
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

_MASK = 0xFFFFFFFF
_MULTIPLY = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_CONSTANTS = (
    np.array(_MULTIPLY[::-1], np.int64)[:, None],  # [2, 1]
    np.arange(_ROUNDS, dtype=np.int64)[:, None, None] * np.array(_WEYL, np.int64)[:, None],  # [rounds, 2, 1]
)
A = TypeVar("A", np.ndarray, Tensor)


class Purpose(IntEnum):
    """Which word of a row's Philox block is used."""

    TOKEN = 0  # the draw that is written
    SCORE = 1  # the draw that only ranks positions
    CHOICE = 2  # the Gumbel noise of the confidence
    REMASK = 3  # which tokens a variation re-makes


@dataclass(frozen=True)
class Rows:
    """Who draws: tensors [R]. `sequence` indexes the batch, `step` the sequence's own step counter."""

    sequence: Tensor
    key: Tensor  # int64, from `sequence_key`
    step: Tensor
    position: Tensor

    def take(self, which: Tensor | slice) -> "Rows":
        part = Rows(self.sequence[which], self.key[which], self.step[which], self.position[which])
        vars(part)["uniforms"] = self.uniforms[:, which]  # hashed once for all parts
        return part

    @cached_property
    def uniforms(self) -> Tensor:
        """[4, R]: one number per purpose."""
        return to_unit(philox(self.key, self.position, self.step))


class Noise(Protocol):
    """The source of randomness of a decoder; parity tests inject one that replays recorded streams."""

    def categorical(self, logits: Tensor, rows: Rows, purpose: Purpose) -> Tensor:
        """One draw from softmax(logits [R, K]) per row -> ids [R]."""
        ...

    def gumbel(self, rows: Rows) -> Tensor:
        """Standard Gumbel noise [R] for the confidence."""
        ...


class CounterNoise:
    """One hashed uniform per row, inverse CDF for draws."""

    def categorical(self, logits: Tensor, rows: Rows, purpose: Purpose) -> Tensor:
        cdf = logits.softmax(dim=-1).cumsum(dim=-1)  # [R, K]
        u = rows.uniforms[purpose] * cdf[:, -1]
        drawn = torch.searchsorted(cdf, u.unsqueeze(-1), right=True).squeeze(-1)
        return drawn.clamp_(max=logits.shape[-1] - 1)

    def gumbel(self, rows: Rows) -> Tensor:
        return -torch.log(-torch.log(rows.uniforms[Purpose.CHOICE]))


def sequence_key(seed: int, sample: int) -> int:
    """The 64-bit key of sample `sample` of a request, as a signed integer."""
    digest = hashlib.blake2b(f"{seed}/{sample}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def uniform(key: Tensor, step: Tensor, purpose: Purpose, position: Tensor) -> Tensor:
    """Uniforms in the open interval (0, 1), fp32 [R], odd multiples of 2^-24."""
    return to_unit(philox(key, position, step)[purpose])


def to_unit(bits: Tensor) -> Tensor:
    """32-bit words as fp32 in the open interval (0, 1): their upper 23 bits, centred."""
    return ((bits >> 9).to(torch.float32) + 0.5) * 2.0**-23


def to_normal(words: Tensor) -> Tensor:
    """32-bit words [4, R] as standard normal fp32 [R, 4], by Box-Muller.

    Computed in double precision, so that float32 results agree on every device.
    """
    unit = (words.double() + 0.5) * 2.0**-32
    radius = (-2.0 * unit[::2].log()).sqrt()  # [2, R]
    angle = 2.0 * math.pi * unit[1::2]
    return torch.cat([radius * angle.cos(), radius * angle.sin()]).float().T


def philox(key: Tensor, c0: Tensor, c1: Tensor, c2: int = 0) -> Tensor:
    """Philox 4x32-10 of counters (c0, c1, c2, 0) under 64-bit keys: words [4, R], int64 in [0, 2^32).

    The 32 x 32 -> 64 bit products wrap in int64, which keeps all their bits; both halves of a round are one operation.
    On a CPU numpy does the same arithmetic: its calls cost a third of torch's, and there are seventy small ones.
    """
    keys = torch.stack([key & _MASK, (key >> 32) & _MASK]).unsqueeze(0)  # [1, 2, R]
    even = torch.stack([torch.full_like(c0, c2), c0 & _MASK])  # words 2 and 0
    odd = torch.stack([c1 & _MASK, torch.zeros_like(c1)])  # words 1 and 3
    if key.device.type == "cpu":
        even, odd = map(torch.from_numpy, _rounds(keys.numpy(), even.numpy(), odd.numpy(), _CONSTANTS))
    else:
        multiply, bumps = (torch.from_numpy(c).to(key.device) for c in _CONSTANTS)
        even, odd = _rounds(keys, even, odd, (multiply, bumps))
    return torch.stack([even[1], odd[0], even[0], odd[1]])


def _rounds(keys: A, even: A, odd: A, constants: tuple[A, A]) -> tuple[A, A]:
    """Ten rounds on arrays of either library, by operators alone."""
    multiply, bumps = constants
    for round_key in (keys + bumps) & _MASK:  # [2, R] of [rounds, 2, R]
        product = even * multiply
        even = (((product >> 32) & _MASK) ^ odd ^ round_key)[[1, 0]]
        odd = product & _MASK
    return even, odd
