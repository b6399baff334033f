"""Image data sets held in memory, and the float form that networks see."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ImageSet:
    """A labelled split. images: uint8 [N, C, H, W]; labels: int64 [N]; classes: one name per label."""

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor) -> "ImageSet":
        return ImageSet(self.images[indices], self.labels[indices], self.classes)


def to_unit(images: Tensor) -> Tensor:
    """uint8 [B, C, H, W] -> float32 in [0, 1]."""
    return images.to(torch.float32) / 255.0


def to_bytes(images: Tensor) -> Tensor:
    """float [B, C, H, W] in [0, 1] (clipped) -> uint8, rounded to nearest."""
    return (images.float().clamp(0, 1) * 255.0).round().to(torch.uint8)
