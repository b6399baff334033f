"""Pixels that are known beforehand: they are put into every step at its noise level (arXiv 2011.13456, appendix I)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.mcvd.config import MCVDConfig
from models.mcvd.tasks import Task


@dataclass(frozen=True)
class Known:
    """Of all frames to be made, in time's order: values [n * C, S, S] in [-1, 1], true in `mask` where they hold."""

    values: Tensor
    mask: Tensor

    def to(self, device: torch.device | str) -> "Known":
        return Known(self.values.to(device), self.mask.to(device))

    def block(self, config: MCVDConfig, task: Task, index: int, total: int) -> "Known":
        """Those of the block made as number `index`; nothing is known of frames beyond the `total` asked for."""
        size = config.block_channels
        start = index * size if task is not Task.PAST else total * config.channels - (index + 1) * size
        low, high = max(start, 0), min(start + size, len(self.values))
        values = self.values.new_zeros(size, *self.values.shape[1:])
        mask = torch.zeros_like(values, dtype=torch.bool)
        values[low - start : high - start] = self.values[low:high]
        mask[low - start : high - start] = self.mask[low:high]
        return Known(values, mask)


def paste(x: Tensor, known: Known, kept: Tensor, draw: Tensor) -> Tensor:
    """x [K, S, S] with the known pixels in it, `kept` [] of their variance and `draw` [K, S, S] for the rest."""
    return torch.where(known.mask, kept.sqrt() * known.values + (1.0 - kept).sqrt() * draw, x)
