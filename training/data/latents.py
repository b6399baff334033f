"""Latent cache: the moments of every image's latents, from which training draws tokens anew each time."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.mar.patches import patchify
from models.tokenizers.kl import KLAutoencoder
from training.data.images import to_unit

BATCH = 250


@dataclass(frozen=True)
class LatentSet:
    """Tokens as a generator sees them, scaled: mean, deviation float16 [S, N, L, C]; labels: int64 [N].

    One set per view: the images, then perhaps their mirror images.
    """

    mean: Tensor
    deviation: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        labels = self.labels.to(torch.int32)
        save_file({"mean": self.mean, "deviation": self.deviation, "labels": labels}, path)


def encode_latents(
    tokenizer: KLAutoencoder,
    images: Tensor,
    labels: Tensor,
    patch: int,
    *,
    flip: bool,
    tell: Callable[[int], None] = lambda done: None,
) -> LatentSet:
    """Encode uint8 images [N, C, H, W] in fp32, where the tokenizer is; `flip` adds the mirrored ones as a second view.

    `tell` is called with the number of pictures that have been encoded since.
    """
    device, scale = next(tokenizer.parameters()).device, tokenizer.config.scaling_factor
    views: list[list[Tensor]] = [[], []] if flip else [[]]
    for part in images.split(BATCH):
        unit = to_unit(part.to(device))
        for view, seen in zip(views, (unit, unit.flip(-1)), strict=False):
            both = [patchify(moment * scale, patch).half().cpu() for moment in tokenizer.moments(seen)]
            view.append(torch.stack(both))  # [2, B, L, C]
        tell(len(part))
    mean, deviation = torch.stack([torch.cat(view, dim=1) for view in views], dim=1)  # [S, N, L, C] each
    return LatentSet(mean, deviation, labels)


def load_latents(path: Path) -> LatentSet:
    """What `LatentSet.save` stored."""
    stored = load_file(path)
    return LatentSet(stored["mean"], stored["deviation"], stored["labels"].long())
