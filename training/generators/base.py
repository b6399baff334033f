"""What a family of generators says about its training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from models.decoder import IterativeDecoder
from models.spec import Sampling
from models.tokenizers.base import Tokenizer
from models.tokenizers.kinds import TokenizerConfig
from training.data.images import ImageSet
from training.objectives.task import Task

Tell = Callable[[int], None]  # the number of pictures that have been done since
Picture = Callable[[Any], Tensor]  # network -> uint8 [C, H, W]


class TokenCache(Protocol):
    """The pictures as a generator sees them."""

    def __len__(self) -> int: ...

    def save(self, path: Path) -> None: ...


class GeneratorKind(Protocol):
    """`name` is the family of the checkpoints; `config` and `settings` are dataclasses that recipes fill in.

    `sizes` and `settings` below are of these types, `tokens` is what the kind has encoded, `network` what it has built.
    """

    name: str
    config: type[Any]
    settings: type[Any]

    def following(self, tokenizer: TokenizerConfig, conditions: int, words: int) -> dict[str, object]:
        """Sizes that follow from a tokenizer and what can be asked for: field of `config` -> value.

        ValueError where there is no such generator. `words`: terms of one caption, 0 with classes.
        """
        ...

    def check(self, sizes: Any, tokenizer: TokenizerConfig) -> None:
        """ValueError, naming the field, where a generator of `sizes` does not fit a tokenizer."""
        ...

    def network(self, sizes: Any) -> nn.Module:
        """With random weights."""
        ...

    def start(self, network: nn.Module, classes: list[str], checkpoint: Path) -> str:
        """Take over what fits of a trained generator; says what. Raises CheckpointError and ValueError."""
        ...

    def encode(self, tokenizer: Tokenizer, data: ImageSet, sizes: Any, settings: Any, tell: Tell) -> TokenCache: ...

    def load(self, path: Path) -> TokenCache:
        """What `TokenCache.save` wrote."""
        ...

    def teacher(self, settings: Any, classes: list[str], tokenizer: Path) -> nn.Module | None:
        """The generator to learn from, if the settings name one. Raises CheckpointError and ValueError."""
        ...

    def task(
        self, network: nn.Module, tokens: TokenCache, settings: Any, picture: Picture, teacher: nn.Module | None = None
    ) -> Task: ...

    def rehearsal(self, sizes: Any, settings: Any, labels: Tensor, device: torch.device) -> Task:
        """The task on blank tokens for `labels` [N] or [N, W], to measure speed with."""
        ...

    def decoder(self, network: nn.Module, tokenizer: Tokenizer, sampling: Sampling) -> IterativeDecoder:
        """Over copies of both networks, for use without a checkpoint directory."""
        ...
