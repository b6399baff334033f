"""What the trainer asks of an objective."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Loss:
    """One backward pass: `part` names whose parameters take the step; `scalars` are logged."""

    part: str
    value: Tensor
    scalars: dict[str, Tensor]


@dataclass(frozen=True)
class StepContext:
    """Where the run is. `rows` are the whole batch's row indices, `mine` are those of this process among them.

    `generator` is the same in every process: draw for the whole batch, then take `mine`, and a batch that is shared by
    several processes is the batch of one.
    """

    step: int
    steps: int
    rows: Tensor
    mine: slice
    generator: torch.Generator


class Task(Protocol):
    """Networks, losses and pictures of one stage."""

    modules: nn.ModuleDict  # all state; parameters of modules[part] are optimised by that part's losses
    parts: tuple[str, ...]  # parts with an optimiser; the first one is averaged and exported

    @property
    def count(self) -> int: ...

    def losses(self, context: StepContext) -> Iterator[Loss]: ...

    def after_step(self, context: StepContext) -> dict[str, float]: ...

    def picture(self, network: nn.Module) -> Tensor:
        """A uint8 image [C, H, W] that shows what the averaged network does."""
        ...
