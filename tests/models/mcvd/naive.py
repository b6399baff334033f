"""The U-Net once more, one row at a time over official names, every operation spelled out: slow and plain."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.mcvd.config import MCVDConfig


def sigmoid_linear(x: Tensor) -> Tensor:
    return x / (1.0 + torch.exp(-x))


def normalise(x: Tensor, eps: float) -> Tensor:
    """x [C, H, W], group by group."""
    channels = len(x)
    groups = next(g for g in range(min(channels // 4, 32), 0, -1) if channels % g == 0)
    parts = [(part - part.mean()) / (part.var(correction=0) + eps).sqrt() for part in x.chunk(groups)]
    return torch.cat(parts)


def blur(x: Tensor, gain: float) -> Tensor:
    """x [C, H, W] with three more pixels a side than the result."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype)
    height, width = x.shape[1] - 3, x.shape[2] - 3
    total = torch.zeros(len(x), height, width, dtype=x.dtype)
    for row in range(4):
        for column in range(4):
            weight = taps[row] * taps[column] / 64.0 * gain
            total += weight * x[:, row : row + height, column : column + width]
    return total


def shrunk(x: Tensor) -> Tensor:
    return blur(F.pad(x, (1, 1, 1, 1)), 1.0)[:, ::2, ::2]


def grown(x: Tensor) -> Tensor:
    stuffed = torch.zeros(len(x), 2 * x.shape[1], 2 * x.shape[2], dtype=x.dtype)
    stuffed[:, ::2, ::2] = x
    return blur(F.pad(stuffed, (2, 1, 2, 1)), 4.0)


@dataclass
class Naive:
    """`frames` are those around the block, [K, S, S]; weights are double precision."""

    config: MCVDConfig
    weights: Mapping[str, Tensor]

    def get(self, name: str) -> Tensor:
        return self.weights[f"unet.all_modules.{name}"]

    def has(self, name: str) -> bool:
        return f"unet.all_modules.{name}" in self.weights

    def conv(self, name: str, x: Tensor) -> Tensor:
        weight = self.get(f"{name}.weight")
        return F.conv2d(x[None], weight, self.get(f"{name}.bias"), padding=weight.shape[-1] // 2)[0]

    def spade(self, name: str, x: Tensor, frames: Tensor) -> Tensor:
        stride = frames.shape[-1] // x.shape[-1]
        hidden = sigmoid_linear(self.conv(f"{name}.mlp_shared.0", frames[:, ::stride, ::stride]))
        return normalise(x, 1e-6) * (1.0 + self.conv(f"{name}.mlp_gamma", hidden)) + self.conv(
            f"{name}.mlp_beta", hidden
        )

    def steered(self, name: str, x: Tensor, time: Tensor, frames: Tensor) -> Tensor:
        spade = self.has(f"{name}.Norm_0.mlp_gamma.weight")
        n = self.spade(f"{name}.Norm_0", x, frames) if spade else normalise(x, 1e-5)
        both = self.get(f"{name}.Dense_0.weight") @ sigmoid_linear(time) + self.get(f"{name}.Dense_0.bias")
        scale, shift = both[: len(x), None, None], both[len(x) :, None, None]
        return sigmoid_linear(n * (1.0 + scale) + shift)

    def block(self, number: int, x: Tensor, time: Tensor, frames: Tensor, way: str = "") -> Tensor:
        h = self.steered(f"{number}.actnorm0", x, time, frames)
        if way:
            h, x = (shrunk(h), shrunk(x)) if way == "down" else (grown(h), grown(x))
        h = self.conv(f"{number}.Conv_0", h)
        h = self.conv(f"{number}.Conv_1", self.steered(f"{number}.actnorm1", h, time, frames))
        if self.has(f"{number}.Conv_2.weight"):
            x = self.conv(f"{number}.Conv_2", x)
        return (x + h) / math.sqrt(2.0)

    def attend(self, number: int, x: Tensor) -> Tensor:
        channels = len(x)
        n = normalise(x, 1e-6) * self.get(f"{number}.GroupNorm_0.weight")[:, None, None]
        n = (n + self.get(f"{number}.GroupNorm_0.bias")[:, None, None]).flatten(1).T  # [P, C]
        q, k, v = (n @ self.get(f"{number}.NIN_{i}.W") + self.get(f"{number}.NIN_{i}.b") for i in range(3))
        head = self.config.head_channels
        size = channels if head == -1 or channels < head else head
        parts = []
        for start in range(0, channels, size):
            a, b, c = (part[:, start : start + size] for part in (q, k, v))
            parts.append((a @ b.T / math.sqrt(size)).softmax(-1) @ c)
        out = torch.cat(parts, dim=1) @ self.get(f"{number}.NIN_3.W") + self.get(f"{number}.NIN_3.b")
        return (x + out.T.reshape(x.shape)) / math.sqrt(2.0)

    def time(self, level: int, past_shown: bool) -> tuple[Tensor, int]:
        """And the number of the next module."""
        half = self.config.width // 2
        powers = torch.arange(half, dtype=torch.float32) * -(math.log(10000.0) / (half - 1))
        angles = level * powers.double().exp().float()  # float32, as published
        e = torch.cat([angles.sin(), angles.cos(), torch.zeros(self.config.width % 2)]).double()
        for number in (0, 1):
            e = self.get(f"{number}.weight") @ (sigmoid_linear(e) if number else e) + self.get(f"{number}.bias")
        if not self.config.past_embedding:
            return e, 2
        return torch.cat([e, self.get("2.weight")[int(past_shown)]]), 3

    def __call__(self, x: Tensor, level: int, frames: Tensor, past_shown: bool = True) -> Tensor:
        config, frames = self.config, frames.double()
        time, at = self.time(level, past_shown)
        sides = [config.resolution >> depth for depth in range(len(config.multipliers))]
        h = self.conv(str(at), x.double() if config.spade else torch.cat([x.double(), frames]))
        at += 1
        skips = [h]
        for depth, side in enumerate(sides):
            for _ in range(config.res_blocks):
                h, at = self.block(at, h, time, frames), at + 1
                if side in config.attention:
                    h, at = self.attend(at, h), at + 1
                skips.append(h)
            if depth < len(sides) - 1:
                h, at = self.block(at, h, time, frames, "down"), at + 1
                skips.append(h)
        h = self.block(at, h, time, frames)
        h = self.block(at + 2, self.attend(at + 1, h), time, frames)
        at += 3
        for depth, side in reversed(list(enumerate(sides))):
            for _ in range(config.res_blocks + 1):
                h, at = self.block(at, torch.cat([h, skips.pop()]), time, frames), at + 1
            if side in config.attention:
                h, at = self.attend(at, h), at + 1
            if depth:
                h, at = self.block(at, h, time, frames, "up"), at + 1
        if config.spade:
            h = self.spade(f"{at}.Norm_0", h, frames)
        else:
            h = normalise(h, 1e-5) * self.get(f"{at}.Norm_0.weight")[:, None, None]
            h = h + self.get(f"{at}.Norm_0.bias")[:, None, None]
        return self.conv(str(at + 1), sigmoid_linear(h))
