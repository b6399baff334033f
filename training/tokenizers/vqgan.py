"""Training a VQGAN."""

from collections.abc import Mapping
from typing import cast

from torch import nn

from models.tokenizers.vqgan import VQGAN
from models.tokenizers.vqgan_config import VQGANConfig
from training.data.images import ImageSet
from training.objectives.perceptual import PerceptualNet
from training.objectives.task import Task
from training.objectives.tokenizer import TokenizerTask
from training.settings import TokenizerSettings

# pixels -> patch, ch_mult
LEVELS: Mapping[int, tuple[int, list[int]]] = {
    16: (1, [1, 1, 2]),
    32: (2, [1, 2]),
    64: (2, [1, 2]),
    128: (2, [1, 1, 2]),
    256: (2, [1, 1, 2, 2]),
}


class VQGANKind:
    name = "vqgan"
    config = VQGANConfig
    settings = TokenizerSettings

    def fitted(self, size: int) -> dict[str, object]:
        patch, multipliers = LEVELS[size]
        return {"patch": patch, "ch_mult": multipliers}

    def task(
        self, network: nn.Module, data: ImageSet, settings: TokenizerSettings, perceptual: PerceptualNet | None
    ) -> Task:
        return TokenizerTask(cast(VQGAN, network), data, settings, perceptual)

    def finished(self, network: nn.Module, data: ImageSet) -> VQGANConfig:
        return cast(VQGAN, network).config
