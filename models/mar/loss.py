"""The training loss of MAR: the head's noise error and variational bound on tokens.

Improved DDPM (arXiv 2102.09672), eq. 4 to 7 and 14 to 16; the bound is not rescaled and teaches the variance alone.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.mar.diffusion import Coefficients, Posterior, Process, posterior
from models.mar.head import DiffusionHead

HALF_LEVEL = 1.0 / 255.0  # of pixels in [-1, 1]; the published loss keeps it for latents
EDGE = 0.999
SMALLEST = 1e-12


@dataclass(frozen=True)
class TokenLoss:
    """Per row [M]: mean squared error of the noise, and the bound in bits per channel."""

    mse: Tensor
    vb: Tensor

    @property
    def total(self) -> Tensor:
        """[M]: what is minimised."""
        return self.mse + self.vb


class DiffusionLoss(nn.Module):
    """The process that a head is trained on: all of its `train_steps` levels. Nothing of it is stored."""

    levels: Tensor
    table: Tensor

    def __init__(self, train_steps: int) -> None:
        super().__init__()
        process = Process.of(train_steps, train_steps)
        kept = process.alphas_cumprod
        self.train_steps = train_steps
        levels = torch.stack([kept.sqrt(), (1.0 - kept).sqrt()], dim=-1)
        self.register_buffer("levels", levels.float(), persistent=False)  # [T, 2]
        self.register_buffer("table", process.columns.float(), persistent=False)  # [T, 7]

    def forward(self, head: DiffusionHead, x0: Tensor, z: Tensor, t: Tensor, noise: Tensor) -> TokenLoss:
        """Tokens x0, noise [M, C] float32, conditions z [M, D], timesteps t [M] -> losses per row."""
        x = self.noised(x0, t, noise)
        return self.judged(head(x.to(head.dtype), t, z), x, x0, t, noise)

    def noised(self, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Tokens [M, C] at the noise levels t [M]."""
        signal, spread = self.levels[t].split(1, dim=-1)
        return signal * x0 + spread * noise

    def judged(self, out: Tensor, x: Tensor, x0: Tensor, t: Tensor, noise: Tensor) -> TokenLoss:
        """What the head says [M, 2C] of the noised tokens x [M, C]."""
        found, variance = out.float().chunk(2, dim=-1)
        c = Coefficients(*self.table[t].split(1, dim=-1))
        model = posterior(c, x, found.detach(), variance)
        mean = c.mean_of_x0 * x0 + c.mean_of_x * x
        nats = torch.where(t.unsqueeze(-1) == 0, likelihood(x0, model), divergence(mean, c.low, model))
        return TokenLoss(mse=(noise - found).square().mean(dim=-1), vb=nats.mean(dim=-1) / math.log(2.0))


def divergence(mean: Tensor, log_variance: Tensor, model: Posterior) -> Tensor:
    """KL(N(mean, log_variance) || model) in nats, per element."""
    ratio = log_variance - model.log_variance
    apart = (mean - model.mean).square() * torch.exp(-model.log_variance)
    return 0.5 * (ratio.exp() - ratio - 1.0 + apart)


def likelihood(x0: Tensor, model: Posterior) -> Tensor:
    """-log of the probability that `model` gives the level of width 2/255 around x0, in nats, per element."""
    precision = torch.exp(-0.5 * model.log_variance)
    above = _normal_cdf((x0 - model.mean + HALF_LEVEL) * precision)
    below = _normal_cdf((x0 - model.mean - HALF_LEVEL) * precision)
    share = torch.where(x0 < -EDGE, above, torch.where(x0 > EDGE, 1.0 - below, above - below))
    return -share.clamp(min=SMALLEST).log()


def _normal_cdf(u: Tensor) -> Tensor:
    """The tanh approximation."""
    return 0.5 * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (u + 0.044715 * u.pow(3))))
