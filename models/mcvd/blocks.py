"""The parts of the U-Net: residual blocks and attention over pixels."""

import math
from collections.abc import Callable, Iterator

import torch.nn.functional as F
from torch import Tensor, nn

from models.mcvd.config import MCVDConfig
from models.mcvd.norms import AdaptiveNorm, Maps, groups_of
from models.mcvd.resample import double, half

ATTENTION_EPS = 1e-6
Resample = Callable[[Tensor], Tensor]  # half or double


class ResidualBlock(nn.Module):
    """[B, inside, side, side] -> [B, outside, S, S]; `resample` changes the side between the two norms."""

    def __init__(
        self, config: MCVDConfig, inside: int, outside: int, side: int, resample: Resample | None = None
    ) -> None:
        super().__init__()
        sides: dict[Resample | None, int] = {None: side, half: side // 2, double: side * 2}
        self.resample = resample
        self.norm1 = AdaptiveNorm(config, inside, side)
        self.conv1 = nn.Conv2d(inside, outside, 3, padding=1)
        self.norm2 = AdaptiveNorm(config, outside, sides[resample])
        self.dropout = nn.Dropout(config.dropout)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1)
        self.skip = nn.Conv2d(inside, outside, 1) if inside != outside or resample is not None else None

    def forward(self, x: Tensor, signal: Tensor, maps: Iterator[Maps]) -> Tensor:
        h = self.norm1(x, signal, maps)
        if self.resample is not None:
            h, x = self.resample(h), self.resample(x)
        h = self.conv2(self.dropout(self.norm2(self.conv1(h), signal, maps)))
        return ((x if self.skip is None else self.skip(x)) + h) / math.sqrt(2.0)


class Attention(nn.Module):
    """Self-attention of the pixels of [B, C, H, W]; a head has neighbouring channels."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(groups_of(channels), channels, ATTENTION_EPS)
        self.query, self.key, self.value, self.out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (
            layer(h).flatten(2).unflatten(1, (self.heads, -1)).mT.contiguous()  # [B, heads, H * W, E]
            for layer in (self.query, self.key, self.value)
        )
        h = F.scaled_dot_product_attention(q, k, v).mT.reshape(x.shape)
        return (x + self.out(h)) / math.sqrt(2.0)


class Unit(nn.Module):
    """A residual block, and attention behind it where `attends`."""

    def __init__(
        self,
        config: MCVDConfig,
        inside: int,
        outside: int,
        side: int,
        attends: bool = False,
        resample: Resample | None = None,
    ) -> None:
        super().__init__()
        self.residual = ResidualBlock(config, inside, outside, side, resample)
        self.attention = Attention(outside, config.heads(outside)) if attends else None

    def forward(self, x: Tensor, signal: Tensor, maps: Iterator[Maps]) -> Tensor:
        h = self.residual(x, signal, maps)
        return h if self.attention is None else self.attention(h)
