"""Synthetic shapes: a colour data set drawn in code, for tests and for a first look that needs no download."""

import torch
from torch import Tensor

from training.data.images import ImageSet

CLASSES = ("disc", "square", "ring", "bars")


def load_shapes(split: str, count: int = 512, size: int = 16) -> ImageSet:
    """`count` images uint8 [count, 3, size, size] of four classes; the split seeds places, sizes and colours."""
    generator = torch.Generator().manual_seed({"train": 1, "test": 2}[split])
    labels = torch.arange(count) % len(CLASSES)
    centre = size / 2 + (torch.rand(count, 2, generator=generator) - 0.5) * size / 4
    radius = size * (0.22 + 0.12 * torch.rand(count, generator=generator))
    colour = 0.4 + 0.6 * torch.rand(count, 3, 1, 1, generator=generator)
    inside = torch.stack([_draw(size, centre, radius, name) for name in CLASSES])  # [4, N, H, W]
    chosen = inside[labels, torch.arange(count)][:, None]  # [N, 1, H, W]
    return ImageSet((chosen * colour * 255).to(torch.uint8), labels, CLASSES)


def _draw(size: int, centre: Tensor, radius: Tensor, name: str) -> Tensor:
    """One shape for every sample -> 0/1 float [N, H, W]."""
    axis = torch.arange(size) + 0.5
    y = axis[None, :, None] - centre[:, 0, None, None]
    x = axis[None, None, :] - centre[:, 1, None, None]
    r = radius[:, None, None]
    distance = (x**2 + y**2).sqrt()
    square = torch.maximum(x.abs(), y.abs()) <= r * 0.9
    inside = {
        "disc": distance <= r,
        "square": square,
        "ring": (distance <= r) & (distance >= 0.55 * r),
        "bars": square & ((y / 2).floor() % 2 == 0),
    }[name]
    return inside.float()
