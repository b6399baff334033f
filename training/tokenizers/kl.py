"""Training a KL autoencoder."""

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

MEASURED = 5000  # pictures, evenly spread, whose latents are scaled to unit deviation


class KLKind:
    name = "kl"
    config = KLConfig
    settings = AutoencoderSettings

    def task(
        self, network: nn.Module, data: ImageSet, settings: AutoencoderSettings, perceptual: PerceptualNet | None
    ) -> Task:
        return AutoencoderTask(cast(KLAutoencoder, network), data, settings, perceptual)

    def finished(self, network: nn.Module, data: ImageSet) -> KLConfig:
        """`scaling_factor` brings the latents of the training pictures to a deviation of one."""
        tokenizer = cast(KLAutoencoder, network)
        some = torch.linspace(0, len(data) - 1, min(MEASURED, len(data))).long()
        return replace(tokenizer.config, scaling_factor=1.0 / latent_deviation(tokenizer, data.images[some]))
