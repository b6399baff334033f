"""The diffusion head: an MLP that removes noise from one token, given what the decoder says about its place."""

import math

import torch
from torch import Tensor, nn

from models.layers.activation import silu
from models.layers.linear import SiluLinear
from models.mar.config import MARConfig

FREQUENCIES = 128
SLOWEST = 10000.0


def time_features(t: Tensor) -> Tensor:
    """Timesteps [N] -> [N, 256]: cosines, then sines, of t times 10000^(-k/128).

    A timestep of 999 makes a last bit of a frequency 60 times larger than that of a cosine: exponents are float32 as in
    the published code, and exp is rounded from double precision, as it should be on any machine.
    """
    power = torch.arange(FREQUENCIES, dtype=torch.float32, device=t.device) / FREQUENCIES
    frequencies = (-math.log(SLOWEST) * power).double().exp().float()
    angles = t.float().unsqueeze(-1) * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class ResidualBlock(nn.Module):
    """LayerNorm, shift and scale, two linear layers, gate."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.fc1 = SiluLinear(width, width)
        self.fc2 = nn.Linear(width, width)
        self.modulation = nn.Linear(width, 3 * width)

    def forward(self, h: Tensor, signal: Tensor) -> Tensor:
        shift, scale, gate = self.modulation(signal).chunk(3, dim=-1)
        return h + gate * self.fc2(self.fc1(self.norm(h) * (1.0 + scale) + shift))


class DiffusionHead(nn.Module):
    """Noisy tokens x [N, C], timesteps t [N], decoder outputs z [N, D] -> noise and variance share [N, 2C].

    Rows are independent of each other. Within a chain z is constant, and t is one of few: `condition` and `time` are
    separate, so that their results can be kept.
    """

    def __init__(self, config: MARConfig) -> None:
        super().__init__()
        width, channels = config.head_width, config.token_channels
        self.time1 = SiluLinear(2 * FREQUENCIES, width)
        self.time2 = nn.Linear(width, width)
        self.condition = nn.Linear(config.decoder_dim, width)
        self.enter = nn.Linear(channels, width)
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(config.head_depth))
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.modulation = nn.Linear(width, 2 * width)
        self.leave = nn.Linear(width, 2 * channels)
        self._initialise()

    def _initialise(self) -> None:
        for layer in (m for m in self.modules() if isinstance(m, nn.Linear)):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        for layer in (self.time1, self.time2):
            nn.init.normal_(layer.weight, std=0.02)
        blocks = [m for m in self.modules() if isinstance(m, ResidualBlock)]
        for layer in (self.modulation, self.leave, *(block.modulation for block in blocks)):
            nn.init.zeros_(layer.weight)

    def time(self, t: Tensor) -> Tensor:
        """Original timesteps [N], 0 to T-1 -> [N, W]."""
        out: Tensor = self.time2(self.time1(self.features(t)))
        return out

    def features(self, t: Tensor) -> Tensor:
        """`time_features` in the precision of the weights."""
        return time_features(t).to(self.dtype)

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights; a chain's x stays float32 whatever this is."""
        return next(self.parameters()).dtype

    def denoise(self, x: Tensor, y: Tensor) -> Tensor:
        """x [N, C], y [N, W] the sum of `time` and `condition` -> [N, 2C]: noise, then variance share."""
        signal = silu(y)
        h = self.enter(x)
        for block in self.blocks:
            h = block(h, signal)
        shift, scale = self.modulation(signal).chunk(2, dim=-1)
        out: Tensor = self.leave(self.norm(h) * (1.0 + scale) + shift)
        return out

    def forward(self, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        return self.denoise(x, self.time(t) + self.condition(z))
