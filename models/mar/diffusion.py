"""The diffusion process of the head: cosine betas, chains that visit some of the noise levels, one reverse step.

Improved DDPM (Nichol & Dhariwal, arXiv 2102.09672): the network predicts the noise and, per channel, where the log
variance lies between its two bounds. Tables are float64, arithmetic is float32.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LARGEST_BETA = 0.999


def cosine_betas(steps: int) -> Tensor:
    """float64 [T]: how much noise each of T training steps adds."""

    def kept(share: float) -> float:
        return math.cos((share + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1.0 - kept((i + 1) / steps) / kept(i / steps), LARGEST_BETA) for i in range(steps)]
    return torch.tensor(betas, dtype=torch.float64)


def respaced(train_steps: int, steps: int) -> list[int]:
    """The `steps` of `train_steps` timesteps that a chain visits, rising, both ends included. ValueError below 2.

    Halves are rounded to the even neighbour, and the stride is added up, as in the published sampler.
    """
    if not 2 <= steps <= train_steps:
        raise ValueError(f"a chain has 2 to {train_steps} steps, not {steps}")
    stride, at, visited = (train_steps - 1) / (steps - 1), 0.0, []
    for _ in range(steps):
        visited.append(round(at))
        at += stride
    return visited


@dataclass(frozen=True)
class Process:
    """The coefficients of one chain, float64 [S] by index; index 0 is the cleanest."""

    timesteps: Tensor  # int64: what the network is told
    betas: Tensor
    alphas_cumprod: Tensor
    posterior_mean_x0: Tensor  # of q(x_{t-1} | x_t, x_0)
    posterior_mean_xt: Tensor
    posterior_log_variance: Tensor  # that of index 0, which is -inf, replaced by that of index 1

    @classmethod
    def of(cls, train_steps: int, steps: int) -> "Process":
        """The chain of `steps` among `train_steps` levels; all of them for training."""
        timesteps = torch.tensor(respaced(train_steps, steps))
        levels = (1.0 - cosine_betas(train_steps)).cumprod(0)[timesteps]
        one = torch.ones(1, dtype=torch.float64)
        betas = 1.0 - levels / torch.cat([one, levels[:-1]])
        alphas = 1.0 - betas
        kept = alphas.cumprod(0)
        before = torch.cat([one, kept[:-1]])
        variance = betas * (1.0 - before) / (1.0 - kept)
        return cls(
            timesteps=timesteps,
            betas=betas,
            alphas_cumprod=kept,
            posterior_mean_x0=betas * before.sqrt() / (1.0 - kept),
            posterior_mean_xt=(1.0 - before) * alphas.sqrt() / (1.0 - kept),
            posterior_log_variance=torch.cat([variance[1:2], variance[1:]]).log(),
        )

    @property
    def columns(self) -> Tensor:
        """float64 [S, 7], in the order of `Coefficients`."""
        kept = self.alphas_cumprod
        last = torch.arange(len(kept)) == 0
        return torch.stack(
            [
                (1.0 / kept).sqrt(),
                (1.0 / kept - 1.0).sqrt(),
                self.posterior_mean_x0,
                self.posterior_mean_xt,
                self.posterior_log_variance,
                self.betas.log(),
                (~last).double(),
            ],
            dim=-1,
        )


@dataclass(frozen=True)
class Coefficients:
    """float32 [N, 1] (or [S, N, C]) each: what the reverse step of N rows multiplies."""

    x0_of_x: Tensor
    x0_of_noise: Tensor
    mean_of_x0: Tensor
    mean_of_x: Tensor
    low: Tensor  # log variance bounds
    high: Tensor
    noisy: Tensor  # 0 in the last reverse step, which adds no noise


class Chains:
    """Chains of all lengths that were asked for, in one table, so that rows of any of them share a call."""

    def __init__(self, train_steps: int, device: torch.device | str = "cpu") -> None:
        self.train_steps = train_steps
        self._first: dict[int, int] = {}
        self.timesteps = torch.empty(0, dtype=torch.long, device=device)  # [rows]
        self.table = torch.empty(0, 7, device=device)  # [rows, 7]

    def row(self, steps: int, index: int) -> int:
        """The table's row of place `index` in the chain of length `steps`, which starts at index steps - 1.

        ValueError for a length outside 2 to `train_steps`.
        """
        if steps not in self._first:
            self._add(steps)
        return self._first[steps] + index

    def _add(self, steps: int) -> None:
        process = Process.of(self.train_steps, steps)
        self._first[steps] = len(self.timesteps)
        self.timesteps = torch.cat([self.timesteps, process.timesteps.to(self.timesteps.device)])
        self.table = torch.cat([self.table, process.columns.float().to(self.table.device)])

    def coefficients(self, rows: Tensor) -> Coefficients:
        """Of table rows [N]."""
        return Coefficients(*self.table[rows].split(1, dim=-1))


@dataclass(frozen=True)
class Posterior:
    """p(x_{t-1} | x_t) of N rows: float32 [N, C] each."""

    mean: Tensor
    log_variance: Tensor
    x0: Tensor


def posterior(c: Coefficients, x: Tensor, noise: Tensor, variance: Tensor, bound: Tensor | None = None) -> Posterior:
    """From x [N, C] and the head's two outputs, the predicted noise and the share of the variance's range.

    x0 stays within ±`bound` [N]: a chain begins where an error of the noise is 20,000 times as large in x0.
    """
    x0 = c.x0_of_x * x - c.x0_of_noise * noise
    if bound is not None:
        x0 = x0.clamp(-bound.unsqueeze(-1), bound.unsqueeze(-1))
    share = (variance + 1.0) / 2.0
    return Posterior(
        mean=c.mean_of_x0 * x0 + c.mean_of_x * x,
        log_variance=share * c.high + (1.0 - share) * c.low,
        x0=x0,
    )
