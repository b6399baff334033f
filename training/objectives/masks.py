"""Which tokens of a training sample are hidden: how many (a ratio), and in which order positions are taken."""

from collections.abc import Callable, Mapping
from math import ceil, pi
from typing import Literal

import torch
from torch import Tensor

Ratio = Literal["cosine", "arccos", "uniform", "beta", "normal"]
Order = Literal["white", "red", "green", "blue", "hard"]

# Colour -> widths in tokens of the two Gaussian blurs whose difference is kept (ColorMAE, arXiv 2407.13036);
# 0 is no blur at all, None is nothing to take away.
FILTERS: dict[str, tuple[float, float | None]] = {"red": (0.8, None), "green": (0.5, 1.5), "blue": (0.0, 0.8)}


def mask_counts(ratio: Ratio, batch: int, length: int, generator: torch.Generator) -> Tensor:
    """How many of `length` tokens to hide in each sample, at least one: int64 [batch].

    With r uniform the hidden share is
    `cosine`: cos(pi r / 2) (MaskGIT); `arccos`: 2 arccos(r) / pi, as many but seldom nearly all; `uniform`: r;
    `beta`: Beta(12, 3), mean 0.8 (AutoNAT); `normal`: Normal(1, 0.25) cut to [0.7, 1] (MAR).
    """
    return (_shares(ratio, batch, generator) * length).round().long().clamp(1, length)


def shared_count(ratio: Ratio, length: int, generator: torch.Generator) -> int:
    """How many of `length` tokens to hide in every sample of a batch, rounded up and at least one."""
    return max(1, ceil(length * float(_shares(ratio, 1, generator))))


def _shares(ratio: Ratio, batch: int, generator: torch.Generator) -> Tensor:
    if ratio == "beta":  # the 12th smallest of 14 uniforms
        return torch.rand(batch, 14, generator=generator).sort(dim=1).values[:, 11]
    return _SHARES[ratio](torch.rand(batch, generator=generator))


def _cosine(r: Tensor) -> Tensor:
    return torch.cos(pi / 2 * r)


def _arccos(r: Tensor) -> Tensor:
    return torch.arccos(r) * 2 / pi


def _normal(r: Tensor, low: float = 0.7, spread: float = 0.25) -> Tensor:
    """The inverse distribution function between `low` and the mean, 1."""
    below = torch.special.ndtr(torch.tensor((low - 1) / spread))
    return 1 + spread * torch.special.ndtri(below + r * (0.5 - below))


_SHARES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "cosine": _cosine,
    "arccos": _arccos,
    "uniform": lambda r: r,
    "normal": _normal,
}


def random_order(order: Order, batch: int, grid: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Scores [batch, L] whose lowest positions are hidden first.

    `white` (and `hard`, which adds what it has learned): every position alike. The colours filter white noise on the
    token grid, so that hidden positions clump (`red`), lie in patches (`green`) or keep apart (`blue`).
    """
    rows, columns = grid
    if order not in FILTERS:
        return torch.rand(batch, rows * columns, generator=generator)
    noise = torch.randn(batch, rows, columns, generator=generator)
    keep, drop = FILTERS[order]
    response = _blur(grid, keep) - (0 if drop is None else _blur(grid, drop))
    return torch.fft.ifft2(torch.fft.fft2(noise) * response).real.flatten(1)


def _blur(grid: tuple[int, int], width: float) -> Tensor:
    """Frequency response [rows, columns] of a Gaussian blur of `width` tokens, on a torus."""
    y, x = (torch.fft.fftfreq(n) for n in grid)
    return torch.exp(-2 * (pi * width) ** 2 * (y[:, None] ** 2 + x[None] ** 2))


def twins(order: Tensor) -> Tensor:
    """Every second sample takes its positions in the opposite order of the one before it.

    Twins of one image that hide no more than half each hide no position in common (DMJD, arXiv 2301.00230).
    """
    return torch.stack([order[::2], -order[::2]], dim=1).flatten(0, 1)[: len(order)]


def lowest(order: Tensor, counts: Tensor) -> Tensor:
    """Exactly the `counts[b]` lowest positions of each sample: bool [B, L]."""
    ranked = order.argsort(dim=1)
    places = torch.arange(order.shape[1], device=order.device).expand_as(ranked)
    return torch.zeros_like(order, dtype=torch.bool).scatter(1, ranked, places < counts[:, None])
