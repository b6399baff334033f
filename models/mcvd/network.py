"""MCVD (arXiv 2205.09853): the U-Net that predicts the noise of a block of frames.

Frames are channels: channel f * C + c is colour c of frame f, in [-1, 1]. Frames that are hidden are zeros.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.mcvd.blocks import Attention, ResidualBlock, Unit
from models.mcvd.condition import Condition
from models.mcvd.config import MCVDConfig
from models.mcvd.embedding import time_features
from models.mcvd.norms import LastNorm, Spade
from models.mcvd.resample import double, half

ATTENTION_SCALE = 0.1  # of the variance of first weights
NOTHING_SCALE = 1e-10  # of layers that begin as nearly nothing


class MCVD(nn.Module):
    """Modules are registered in the order in which they run: that of the published layout and of a condition's maps."""

    def __init__(self, config: MCVDConfig) -> None:
        super().__init__()
        self.config = config
        signal, levels = 4 * config.width, list(zip(config.widths, config.sides, strict=True))
        self.time1 = nn.Linear(config.width, signal)
        self.time2 = nn.Linear(signal, signal)
        self.past = nn.Embedding(2, config.width // 2) if config.past_embedding else None
        seen = config.block_channels + (0 if config.spade else config.shown_channels)
        self.enter = nn.Conv2d(seen, config.width, 3, padding=1)

        self.down, skips = nn.ModuleList(), [config.width]
        for channels, side in levels:
            for _ in range(config.res_blocks):
                self.down.append(Unit(config, skips[-1], channels, side, side in config.attention))
                skips.append(channels)
            if side != config.sides[-1]:
                self.down.append(Unit(config, channels, channels, side, resample=half))
                skips.append(channels)

        channels, side = levels[-1]
        self.middle = nn.ModuleList(Unit(config, channels, channels, side, attends) for attends in (True, False))

        self.up = nn.ModuleList()
        for width, side in reversed(levels):
            for at in range(config.res_blocks + 1):
                attends = at == config.res_blocks and side in config.attention
                self.up.append(Unit(config, channels + skips.pop(), width, side, attends))
                channels = width
            if side != config.resolution:
                self.up.append(Unit(config, channels, channels, side, resample=double))

        self.norm = LastNorm(config, channels, config.resolution)
        self.leave = nn.Conv2d(channels, config.block_channels, 3, padding=1)
        self._initialise()

    def _initialise(self) -> None:
        """Variances by the mean of both fans; what ends a residual branch begins as nearly nothing."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(cast(Tensor, layer.bias))
        attentions = [layer for layer in self.modules() if isinstance(layer, Attention)]
        for layer in (part for each in attentions for part in (each.query, each.key, each.value)):
            nn.init.xavier_uniform_(layer.weight, gain=ATTENTION_SCALE**0.5)
        residual = [layer.conv2 for layer in self.modules() if isinstance(layer, ResidualBlock)]
        for layer in (*residual, *(each.out for each in attentions), self.leave):
            nn.init.xavier_uniform_(layer.weight, gain=NOTHING_SCALE**0.5)

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights; a block's x stays float32 whatever this is."""
        return self.leave.weight.dtype

    def condition(self, frames: Tensor, past_shown: Tensor | None = None) -> Condition:
        """Frames around a block [B, K, S, S], hidden ones zeros, and whether past ones are shown [B] (default: yes).

        With SPADE norms this is most of the network's work, and the same for all steps of a block.
        """
        shown = torch.ones(len(frames), dtype=torch.bool, device=frames.device) if past_shown is None else past_shown
        spades = [module for module in self.modules() if isinstance(module, Spade)]
        frames = frames.to(self.dtype)
        return Condition(frames, shown, tuple(spade.maps(frames) for spade in spades))

    def signal(self, t: Tensor, past_shown: Tensor) -> Tensor:
        """Levels [B], 0 (noisiest) to T-1, and whether past frames are shown [B] -> what steers all norms, [B, D]."""
        features = time_features(t, self.config.width).to(self.dtype)
        time = self.time2(F.silu(self.time1(features)))
        return F.silu(time if self.past is None else torch.cat([time, self.past(past_shown.long())], dim=-1))

    def forward(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Noisy blocks x [B, F * C, S, S] at levels t [B] -> the noise in them [B, F * C, S, S]."""
        signal, maps = self.signal(t, condition.past_shown), iter(condition.maps)
        x = x.to(self.dtype)
        h = self.enter(x if self.config.spade else torch.cat([x, condition.frames], dim=1))
        skips = [h]
        for unit in self.down:
            h = unit(h, signal, maps)
            skips.append(h)
        for unit in self.middle:
            h = unit(h, signal, maps)
        for unit in self.up:
            takes_skip = cast(Unit, unit).residual.resample is None
            h = unit(torch.cat([h, skips.pop()], dim=1) if takes_skip else h, signal, maps)
        return self.leave(self.norm(h, maps))
