"""Training a VQGAN."""

from typing import cast

from torch import nn

from models.tokenizers.vqgan import VQGAN
from models.tokenizers.vqgan_config import VQGANConfig
from training.data.images import ImageSet
from training.objectives.perceptual import PerceptualNet
from training.objectives.task import Task
from training.objectives.tokenizer import TokenizerTask
from training.settings import TokenizerSettings


class VQGANKind:
    name = "vqgan"
    config = VQGANConfig
    settings = TokenizerSettings

    def task(
        self, network: nn.Module, data: ImageSet, settings: TokenizerSettings, perceptual: PerceptualNet | None
    ) -> Task:
        return TokenizerTask(cast(VQGAN, network), data, settings, perceptual)

    def finished(self, network: nn.Module, data: ImageSet) -> VQGANConfig:
        return cast(VQGAN, network).config
