"""Tiny TorchScript networks, as a user would bring them."""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn


class Edges(nn.Module):
    """Mean colour, and how much neighbouring pixels differ across and down: 9 features."""

    def forward(self, images: Tensor) -> Tensor:
        x = images.float()
        across, down = x[:, :, :, 1:] - x[:, :, :, :-1], x[:, :, 1:] - x[:, :, :-1]
        return torch.cat([x.mean((2, 3)), 8 * across.abs().mean((2, 3)), 8 * down.abs().mean((2, 3))], 1)


class Asked(nn.Module):
    """Logits, or features where they are asked for."""

    def forward(self, images: Tensor, return_features: bool = False) -> Tensor:
        x = images.float().mean((2, 3))
        return x if return_features else x[:, :1]


class Pair(nn.Module):
    """Features and logits; takes floats alone."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Conv2d(3, 4, 1)
        nn.init.constant_(self.dense.weight, 1.0)
        nn.init.zeros_(self.dense.bias)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = self.dense(images).mean((2, 3))
        return x, x[:, :1]


class Flat(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.float()


class Infinite(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.float().mean((2, 3)) / 0.0


class Picky(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        assert images.shape[-1] == 32
        return images.float().mean((2, 3))


def stored(network: nn.Module, path: Path) -> Path:
    """`network` as a TorchScript file at `path`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(network.eval()).save(str(path))
    return path
