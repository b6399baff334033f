"""Exponential moving average of a network's weights."""

import copy

import torch
from torch import nn


class Ema:
    """Keeps `network`, a frozen copy that follows the trained one; `decay` is approached over the first steps."""

    def __init__(self, source: nn.Module, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(source).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, source: nn.Module, step: int) -> None:
        """Blend in the weights after 0-based `step`; buffers are copied."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for mine, theirs in zip(self.network.parameters(), source.parameters(), strict=True):
            mine.lerp_(theirs, 1 - decay)
        for kept, current in zip(self.network.buffers(), source.buffers(), strict=True):
            kept.copy_(current)
