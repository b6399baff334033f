"""The diffusion head as chains run it: fewer and larger operations on the same weights.

A reverse step of a few tokens is bound by the number of operations. One linear layer makes the modulations of all
blocks, the 1 of `1 + scale` lies in its bias, and SiLU is part of the product before it.
"""

from typing import cast

import torch
from torch import Tensor, nn

from models.layers.activation import silu
from models.layers.linear import pack_narrow
from models.mar.head import DiffusionHead, ResidualBlock


class FusedHead(nn.Module):
    """Takes over the layers of `head`, which cannot be used afterwards; for inference alone. W is its width."""

    @torch.no_grad()
    def __init__(self, head: DiffusionHead, packed: bool) -> None:
        """`packed`: weights are laid out for inference on a CPU."""
        super().__init__()
        self.dtype = head.dtype  # of the weights; a chain's x stays float32 whatever this is
        self.time1, self.time2 = head.time1, head.time2
        self.condition, self.enter, self.leave = head.condition, head.enter, head.leave
        self.norm, self.blocks = head.norm, head.blocks
        width = head.modulation.in_features
        blocks = [cast(ResidualBlock, block) for block in head.blocks]
        layers = [*(block.modulation for block in blocks), head.modulation]
        parts = [part for layer in layers for part in layer.bias.split(width)]  # (shift, scale, gate) ..., shift, scale
        one_more = [part + (at % 3 == 1) for at, part in enumerate(parts)]
        self.modulation = nn.Linear(width, len(parts) * width, device="meta")
        self.modulation.weight = nn.Parameter(torch.cat([layer.weight for layer in layers]))
        self.modulation.bias = nn.Parameter(torch.cat(one_more))
        for block in blocks:
            del block.modulation
        self.features = head.features
        self.requires_grad_(False)
        if packed:
            pack_narrow(self)

    def time(self, t: Tensor) -> Tensor:
        """Original timesteps [N], 0 to T-1 -> [N, W]."""
        out: Tensor = self.time2(self.time1(self.features(t)))
        return out

    def denoise(self, x: Tensor, y: Tensor) -> Tensor:
        """x [N, C], y [N, W] the sum of `time` and `condition` -> [N, 2C]: noise, then variance share."""
        shift, scale, *rest = self.modulation(silu(y)).chunk(3 * len(self.blocks) + 2, dim=-1)
        h = self.enter(x)
        for block in self.blocks:
            gate, next_shift, next_scale, *rest = rest
            block = cast(ResidualBlock, block)
            h = torch.addcmul(h, gate, block.fc2(block.fc1(torch.addcmul(shift, block.norm(h), scale))))
            shift, scale = next_shift, next_scale
        out: Tensor = self.leave(torch.addcmul(shift, self.norm(h), scale))
        return out
