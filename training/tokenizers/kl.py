"""Training a KL autoencoder."""

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import torch
from torch import nn

from models.tokenizers.kl import KLAutoencoder
from models.tokenizers.kl_config import KLConfig
from training.data.images import ImageSet
from training.objectives.autoencoder import AutoencoderTask, latent_deviation
from training.objectives.perceptual import PerceptualNet
from training.objectives.task import Task
from training.settings import AutoencoderSettings

WIDTHS = (32, 64, 64, 128, 128)  # by level, highest resolution first
LEVELS: Mapping[int, int] = {16: 3, 32: 3, 64: 3, 128: 4, 256: 5}  # pixels -> levels
MEASURED = 5000  # pictures, evenly spread, whose latents are scaled to unit deviation


class KLKind:
    name = "kl"
    config = KLConfig
    settings = AutoencoderSettings

    def fitted(self, size: int) -> dict[str, object]:
        levels = LEVELS[size]
        return {"block_out_channels": list(WIDTHS[:levels]), "attention": [False] * levels}

    def task(
        self, network: nn.Module, data: ImageSet, settings: AutoencoderSettings, perceptual: PerceptualNet | None
    ) -> Task:
        return AutoencoderTask(cast(KLAutoencoder, network), data, settings, perceptual)

    def finished(self, network: nn.Module, data: ImageSet) -> KLConfig:
        """`scaling_factor` brings the latents of the training pictures to a deviation of one."""
        tokenizer = cast(KLAutoencoder, network)
        some = torch.linspace(0, len(data) - 1, min(MEASURED, len(data))).long()
        return replace(tokenizer.config, scaling_factor=1.0 / latent_deviation(tokenizer, data.images[some]))
