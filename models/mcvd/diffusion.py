"""The noise levels of MCVD, and which of them a sampler visits.

Level 0 is the NOISIEST, T - 1 the cleanest: diffusers counts the other way round, its timestep is T - 1 - level. Tables
are float32 throughout, as the published ones are: a beta near the clean end is a difference of nearly equal numbers.
"""

import math
from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor

from models.mcvd.config import MCVDConfig

Spacing = Literal["even", "official"]
GAMMA_SCALE = 0.001


@dataclass(frozen=True)
class Levels:
    """float32 [T] by level: the share of the signal's variance that is kept, and what a step from the next one adds."""

    kept: Tensor  # the cumulated alpha
    betas: Tensor

    @classmethod
    def of(cls, config: MCVDConfig) -> Self:
        """Those that a network was trained on."""
        if config.betas == "linear":
            betas = torch.linspace(config.beta_noisiest, config.beta_cleanest, config.train_steps)
            return cls(kept=(1.0 - betas.flip(0)).cumprod(0).flip(0), betas=betas)
        share = torch.linspace(config.train_steps, 0, config.train_steps + 1) / config.train_steps
        kept = torch.cos((share + 0.008) / 1.008 * math.pi / 2) ** 2
        return cls.between(kept[:-1] / kept[-1])

    @classmethod
    def between(cls, kept: Tensor) -> Self:
        """The betas of steps between levels `kept` [S], rising."""
        return cls(kept=kept, betas=1.0 - kept / _next(kept))

    @property
    def kept_after(self) -> Tensor:
        """[T]: of the next cleaner level; 1 behind the last one."""
        return _next(self.kept)

    def visiting(self, visited: list[int]) -> "Levels":
        """Some of the levels, rising, with the betas of the steps between them."""
        return Levels.between(self.kept[visited])


def _next(kept: Tensor) -> Tensor:
    return torch.cat([kept[1:], kept.new_ones(1)])


def visited(train_steps: int, steps: int, spacing: Spacing = "even") -> list[int]:
    """The levels of a sampler of `steps` steps, rising from 0; ValueError outside 1 to T.

    The published rule strides by T // steps, so that 30 steps of 1000 become 31 and 300 become 334; "even" has as many
    as were asked for, and is the same where `steps` divides T.
    """
    if not 1 <= steps <= train_steps:
        raise ValueError(f"a sampler has 1 to {train_steps} steps, not {steps}")
    if spacing == "official":
        return list(range(0, train_steps, train_steps // steps))
    return [train_steps * step // steps for step in range(steps)]


@dataclass(frozen=True)
class GammaLevels:
    """float32 [T] by level: gamma-distributed noise, an option of the published training that no released model uses.

    Noise is (Gamma(shape, scale) - shape * scale) / sqrt(1 - kept).
    """

    step_shape: Tensor
    shape: Tensor
    scale: Tensor

    @classmethod
    def of(cls, levels: Levels) -> Self:
        step = levels.betas / (levels.kept * GAMMA_SCALE**2)
        return cls(step_shape=step, shape=step.flip(0).cumsum(0).flip(0), scale=levels.kept.sqrt() * GAMMA_SCALE)
