"""What a kind of tokenizer says about its training."""

from typing import Any, Protocol

from torch import nn

from models.tokenizers.kinds import TokenizerConfig
from training.data.images import ImageSet
from training.objectives.perceptual import PerceptualNet
from training.objectives.task import Task
from training.settings import ReconstructionSettings


class TokenizerKind(Protocol):
    """`name` is the `family` of the checkpoints; `config` and `settings` are dataclasses that recipes fill in."""

    name: str
    config: type[Any]
    settings: type[ReconstructionSettings]

    def task(self, network: nn.Module, data: ImageSet, settings: Any, perceptual: PerceptualNet | None) -> Task:
        """What trains `network`, a tokenizer of this kind, as `settings` say."""
        ...

    def finished(self, network: nn.Module, data: ImageSet) -> TokenizerConfig:
        """The sizes that the checkpoint of a trained network says, with what is measured of it."""
        ...
