"""The objective of MCVD (arXiv 2205.09853): the noise in a block of frames, with the frames around it shown or not."""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from models.mcvd.diffusion import Levels
from models.mcvd.loss import noise_loss
from models.mcvd.network import MCVD
from models.mcvd.pixels import to_channels
from training.objectives.task import Loss, StepContext
from training.settings import NoiseSettings

Picture = Callable[[MCVD], Tensor]


class ClipSet(Protocol):
    """Clips of as many frames as a network sees and makes."""

    def __len__(self) -> int: ...

    def clip(self, index: int) -> np.ndarray:
        """uint8 [frames, H, W, C]."""
        ...


class NoiseTask:
    """Trains an MCVD. Past frames are hidden by one coin, future ones by another, or both by the same."""

    parts: tuple[str, ...] = ("generator",)
    undecayed: tuple[str, ...] = ()

    def __init__(self, network: MCVD, clips: ClipSet, settings: NoiseSettings, picture: Picture) -> None:
        self.network, self.clips, self.settings = network, clips, settings
        self.modules = nn.ModuleDict({"generator": network})
        self.levels = Levels.of(network.config)
        weights = self.levels.kept.reciprocal().clamp(max=settings.heaviest)
        self.weights = weights / weights.mean()
        self._picture = picture

    @property
    def count(self) -> int:
        return len(self.clips)

    def compile(self) -> None:
        self.network.compile()

    def fetch(self, rows: Tensor, mine: slice) -> tuple[Tensor, ...]:
        """Frames as channels [B, n * C, S, S], those before, of and behind a block."""
        return (torch.stack([to_channels(self.clips.clip(int(row))) for row in rows[mine]]),)

    def losses(self, context: StepContext) -> Iterator[Loss]:
        config, draws, mine = self.network.config, context.generator, context.mine
        [clips] = context.data
        device = self.network.leave.weight.device
        past, block, future = clips.to(device).split(
            [config.past_channels, config.block_channels, config.shown_channels - config.past_channels], dim=1
        )
        coins = torch.rand(2, context.size, generator=draws)[:, mine]
        shows_past = (coins[0] >= config.mask_past).to(device)
        shows_future = (coins[0 if config.mask_together else 1] >= config.mask_future).to(device)
        frames = torch.cat([past * shows_past[:, None, None, None], future * shows_future[:, None, None, None]], dim=1)
        t = torch.randint(config.train_steps, (context.size,), generator=draws)[mine].to(device)
        z = torch.randn(context.size, *block.shape[1:], generator=draws)[mine].to(device)
        levels, weights = self._on(device), self.weights.to(device)[t]
        loss = noise_loss(self.network, levels, block, frames, t, z, shows_past, self.settings.norm, weights)
        each = loss / block[0].numel()
        yield Loss("generator", each, {"noise": each.detach()})

    def _on(self, device: torch.device) -> Levels:
        if self.levels.kept.device != device:
            self.levels = Levels(self.levels.kept.to(device), self.levels.betas.to(device))
        return self.levels

    def after_step(self, context: StepContext) -> dict[str, float]:
        return {}

    def picture(self, network: nn.Module) -> Tensor:
        assert isinstance(network, MCVD)
        return self._picture(network)
