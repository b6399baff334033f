"""Sound data sets held in memory or mapped from a file, and the float form that networks hear."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from models.captions import indices, vocabulary

SCALE = 1 << 15
MOST_TERMS = 64


@dataclass(frozen=True)
class SoundSet:
    """waves: int16 [N, S] at `rate`, mono, which may be a memory map; captions: one each."""

    waves: np.ndarray
    captions: tuple[str, ...]
    rate: int

    def __len__(self) -> int:
        return len(self.captions)

    @property
    def seconds(self) -> float:
        """Of each."""
        return self.waves.shape[1] / self.rate

    @cached_property
    def terms(self) -> tuple[str, ...]:
        """The vocabulary of the captions."""
        return vocabulary(self.captions)

    @cached_property
    def labels(self) -> Tensor:
        """int64 [N, W]: the terms of each caption; -1: none."""
        places = {term: at for at, term in enumerate(self.terms)}
        found = [indices(caption, places, MOST_TERMS) for caption in self.captions]
        width = max((len(one) for one in found), default=1)
        return torch.tensor([[*one, *[-1] * (width - len(one))] for one in found], dtype=torch.long)

    def crops(self, rows: Tensor, begins: Tensor, length: int) -> Tensor:
        """float32 [B, 1, length] in [-1, 1], from `begins` [B]."""
        parts = [
            self.waves[row, begin : begin + length] for row, begin in zip(rows.tolist(), begins.tolist(), strict=True)
        ]
        return torch.from_numpy(np.stack(parts).astype(np.float32) / SCALE).unsqueeze(1)
