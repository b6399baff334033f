"""Norms that a noise level steers, and with SPADE the frames that are shown, too."""

from collections.abc import Iterator
from typing import Self

import torch.nn.functional as F
from torch import Tensor, nn

from models.mcvd.config import MCVDConfig

Maps = tuple[Tensor, Tensor]  # what a SPADE norm multiplies by and adds, [B, C, H, W] each
LARGEST_GROUPS = 32
PLAIN_EPS = 1e-5
SPADE_EPS = 1e-6


def groups_of(channels: int) -> int:
    """A quarter of the channels, at most 32, or the next smaller number that divides them."""
    groups = min(channels // 4, LARGEST_GROUPS)
    while channels % groups:
        groups -= 1
    return groups


def steered(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """GroupNorm of x [B, C, H, W] with an affine part of each row's own, [B, C]: rows lie among the channels."""
    rows, channels = x.shape[:2]
    flat = x.reshape(1, rows * channels, *x.shape[2:])
    normed = F.group_norm(flat, rows * groups_of(channels), scale.flatten(), shift.flatten(), PLAIN_EPS)
    return normed.reshape(x.shape)


class Spade(nn.Module):
    """GroupNorm with an affine part per pixel, made from frames (arXiv 1903.07291)."""

    def __init__(self, config: MCVDConfig, channels: int, side: int) -> None:
        super().__init__()
        self.groups, self.side = groups_of(channels), side
        self.shared = nn.Conv2d(config.shown_channels, config.spade_dim, 3, padding=1)
        self.gamma = nn.Conv2d(config.spade_dim, channels, 3, padding=1)
        self.beta = nn.Conv2d(config.spade_dim, channels, 3, padding=1)

    @classmethod
    def of(cls, config: MCVDConfig, channels: int, side: int) -> Self | None:
        """For networks that have SPADE norms."""
        return cls(config, channels, side) if config.spade else None

    def maps(self, frames: Tensor) -> Maps:
        """Frames [B, K, S, S], S at least the norm's side -> 1 + gamma and beta, [B, C, H, W] each."""
        hidden = F.silu(self.shared(F.interpolate(frames, size=(self.side, self.side), mode="nearest")))
        return 1.0 + self.gamma(hidden), self.beta(hidden)

    def forward(self, x: Tensor, maps: Maps) -> Tensor:
        scale, shift = maps
        return F.group_norm(x, self.groups, eps=SPADE_EPS) * scale + shift


class AdaptiveNorm(nn.Module):
    """A norm, scale and shift by the noise level's signal [B, D], SiLU. A SPADE norm takes the next of `maps`."""

    def __init__(self, config: MCVDConfig, channels: int, side: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(config.signal_width, 2 * channels)
        self.spade = Spade.of(config, channels, side)

    def forward(self, x: Tensor, signal: Tensor, maps: Iterator[Maps]) -> Tensor:
        scale, shift = self.modulation(signal).chunk(2, dim=-1)
        if self.spade is None:
            return F.silu(steered(x, 1.0 + scale, shift))
        normed = self.spade(x, next(maps))
        return F.silu(normed * (1.0 + scale)[:, :, None, None] + shift[:, :, None, None])


class LastNorm(nn.Module):
    """A norm that no noise level steers, SiLU."""

    def __init__(self, config: MCVDConfig, channels: int, side: int) -> None:
        super().__init__()
        self.spade = Spade.of(config, channels, side)
        self.plain = nn.Identity() if config.spade else nn.GroupNorm(groups_of(channels), channels, PLAIN_EPS)

    def forward(self, x: Tensor, maps: Iterator[Maps]) -> Tensor:
        return F.silu(self.plain(x) if self.spade is None else self.spade(x, next(maps)))
