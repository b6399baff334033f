"""A codec's ids of a sound data set, with the terms of its captions."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.tokenizers.codec import Codec
from training.data.sounds import SoundSet

PART = 8  # sounds that pass the codec together


@dataclass(frozen=True)
class SoundTokens:
    """ids: int16 [N, K, T]; labels: int64 [N, W], -1: none."""

    ids: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def save(self, path: Path) -> None:
        new = path.with_name(f"{path.name}.new")
        save_file({"ids": self.ids, "labels": self.labels}, new)
        new.replace(path)

    @classmethod
    def load(cls, path: Path) -> "SoundTokens":
        found = load_file(path)
        return cls(found["ids"], found["labels"])


def encode_sounds(codec: Codec, data: SoundSet, tell: Callable[[int], None]) -> SoundTokens:
    device = next(codec.parameters()).device
    parts = []
    for rows in torch.arange(len(data)).split(PART):
        waves = data.crops(rows, torch.zeros_like(rows), data.waves.shape[1])
        ids = codec.encode(waves.to(device))[..., : data.waves.shape[1] // codec.config.hop]  # whole tokens
        parts.append(ids.to(torch.int16).cpu())
        tell(len(rows))
    return SoundTokens(torch.cat(parts), data.labels)
