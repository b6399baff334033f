"""What a kind of tokenizer says about its training."""

from typing import Any, Protocol

from torch import nn

from training.data.images import ImageSet
from training.objectives.perceptual import PerceptualNet
from training.objectives.task import Task


class TokenizerKind(Protocol):
    """`name` is the `family` of the checkpoints; `config` and `settings` are dataclasses that recipes fill in."""

    name: str
    config: type[Any]
    settings: type[Any]

    def fitted(self, size: int) -> dict[str, object]:
        """How pictures of 16, 32, 64, 128 or 256 pixels become 4x4, 8x8 or 16x16 tokens: field of `config` -> value."""
        ...

    def task(self, network: nn.Module, data: ImageSet, settings: Any, perceptual: PerceptualNet | None) -> Task:
        """What trains `network`, a tokenizer of this kind, as `settings` say."""
        ...

    def finished(self, network: nn.Module, data: ImageSet) -> Any:
        """The sizes that the checkpoint of a trained network says, with what is measured of it."""
        ...
