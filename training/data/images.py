"""Image data sets held in memory, and the float form that networks see."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ImageSet:
    """A labelled split. images: uint8 [N, C, H, W]; labels: int64 [N]; classes: one name per label.

    With captions labels are [N, W], the terms of each (-1: none), and `classes` are the terms.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def captioned(self) -> bool:
        return self.labels.dim() == 2

    def shown(self, most: int = 10) -> Tensor:
        """Labels of up to `most` different things, for a grid of samples."""
        things = self.labels if self.captioned else torch.arange(len(self.classes))
        return things[torch.linspace(0, len(things) - 1, min(most, len(things))).round().long()]

    def name(self, label: Tensor) -> str:
        """The class, or the words, that a label stands for."""
        if label.dim() == 0:
            return self.classes[int(label)]
        return " ".join(term for term in (self.classes[at] for at in label.tolist() if at >= 0) if " " not in term)

    def take(self, indices: Tensor) -> "ImageSet":
        return ImageSet(self.images[indices], self.labels[indices], self.classes)


def orientations(data: ImageSet, most: int = 2**29) -> ImageSet:
    """Upright, upside down, on the side: classes that any pictures have, mirrored or not (after arXiv 1803.07728).

    Takes the first pictures, `most` bytes of them at the most.
    """
    images = data.images[: max(1, most // (3 * data.images[0].numel()))]
    views = [images, images.flip(-2), images.transpose(-2, -1)]
    labels = torch.arange(len(views)).repeat_interleave(len(images))
    return ImageSet(torch.cat(views), labels, ("upright", "upside down", "on the side"))


def to_unit(images: Tensor) -> Tensor:
    """uint8 [B, C, H, W] -> float32 in [0, 1]."""
    return images.to(torch.float32) / 255.0


def to_bytes(images: Tensor) -> Tensor:
    """float [B, C, H, W] in [0, 1] (clipped) -> uint8, rounded to nearest."""
    return (images.float().clamp(0, 1) * 255.0).round().to(torch.uint8)
