"""What a feature extractor is, and what all of them do to images first."""

from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

BATCH = 50


class ExtractorError(ValueError):
    """A feature extractor cannot be used; the message is one line."""


class Extractor(Protocol):
    """Images -> features. `name` is part of every metric's name; `says` tells a reader what the features are."""

    @property
    def name(self) -> str: ...

    @property
    def says(self) -> str: ...

    def features(self, images: Tensor) -> Tensor:
        """uint8 [N, C, H, W], C 1 or 3 -> float64 [N, D]. Raises ExtractorError."""


def in_parts(extract: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """`extract` on `BATCH` images at a time, without gradients: [N, C, H, W] -> float64 [N, D]."""
    with torch.no_grad():
        return torch.cat([extract(part).double() for part in images.split(BATCH)])


def to_colour(images: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, 3, H, W]: grey is repeated."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def resized(images: Tensor, size: int) -> Tensor:
    """uint8 [N, C, H, W] -> uint8 [N, C, size, size]: bicubic, averaging where it makes smaller."""
    if images.shape[-2:] == (size, size):
        return images
    made = F.interpolate(images.float(), (size, size), mode="bicubic", align_corners=False, antialias=True)
    return made.round().clamp(0, 255).to(torch.uint8)
