"""Counter-based noise: the numbers of a row depend on its own key, step, purpose and position, never on neighbours.

Philox 4x32-10 (Salmon et al., SC'11) in integer arithmetic, turned into floats by our own code, so that every device
and torch version draws the same numbers.
"""

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF
_MULTIPLY = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)


class Purpose(IntEnum):
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
        u = uniform(rows.key, rows.step, purpose, rows.position)
        drawn = torch.searchsorted(cdf, (u * cdf[:, -1]).unsqueeze(-1), right=True).squeeze(-1)
        return drawn.clamp_(max=logits.shape[-1] - 1)

    def gumbel(self, rows: Rows) -> Tensor:
        u = uniform(rows.key, rows.step, Purpose.CHOICE, rows.position)
        return -torch.log(-torch.log(u))


def sequence_key(seed: int, sample: int) -> int:
    """The 64-bit key of sample `sample` of a request, as a signed integer."""
    digest = hashlib.blake2b(f"{seed}/{sample}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def uniform(key: Tensor, step: Tensor, purpose: Purpose, position: Tensor) -> Tensor:
    """Uniforms in the open interval (0, 1), fp32 [R], exact multiples of 2^-24."""
    bits = philox(key, position, step, int(purpose))
    return ((bits >> 9).to(torch.float32) + 0.5) * 2.0**-23


def philox(key: Tensor, c0: Tensor, c1: Tensor, c2: int) -> Tensor:
    """First word of Philox 4x32-10 for counters (c0, c1, c2, 0): int64 [R] in [0, 2^32)."""
    k0, k1 = key & _MASK, (key >> 32) & _MASK
    x0, x1 = c0 & _MASK, c1 & _MASK
    x2 = torch.full_like(x0, c2)
    x3 = torch.zeros_like(x0)
    for _ in range(10):
        high0, low0 = _multiply(x0, _MULTIPLY[0])
        high1, low1 = _multiply(x2, _MULTIPLY[1])
        x0, x1, x2, x3 = high1 ^ x1 ^ k0, low1, high0 ^ x3 ^ k1, low0
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return x0


def _multiply(a: Tensor, b: int) -> tuple[Tensor, Tensor]:
    """32 x 32 -> 64 bits as (high, low); the wrap of int64 keeps the low 64 bits right."""
    product = a * b
    return (product >> 32) & _MASK, product & _MASK
