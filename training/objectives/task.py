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
    """Where the run is. `data` is what the task fetched for the rows `mine` of a batch of `size`.

    A batch is shared by processes and, in each, by parts (`part` 0, 1, ...). `generator` starts the same for all
    shares: draw for the whole batch, then take `mine`, and a shared batch is the batch of one.
    """

    step: int
    steps: int
    part: int
    size: int
    mine: slice
    data: tuple[Tensor, ...]
    generator: torch.Generator


class Task(Protocol):
    """Networks, losses and pictures of one stage."""

    modules: nn.ModuleDict  # all state; parameters of modules[part] are optimised by that part's losses
    parts: tuple[str, ...]  # parts with an optimiser; the first one is averaged and exported
    undecayed: tuple[str, ...]  # how the names of parameters begin that do not decay, besides those that never do

    @property
    def count(self) -> int: ...

    def fetch(self, rows: Tensor, mine: slice) -> tuple[Tensor, ...]:
        """The data of `rows[mine]`, on the CPU; called in threads, ahead of time."""
        ...

    def losses(self, context: StepContext) -> Iterator[Loss]:
        """As many losses for every share of a batch; the next one is asked for when the step by one has been taken."""
        ...

    def after_step(self, context: StepContext) -> dict[str, float]:
        """Once per step, with the context of part 0."""
        ...

    def compile(self) -> None:
        """Have torch.compile speed up what is trained."""
        ...

    def picture(self, network: nn.Module) -> Tensor:
        """A uint8 image [C, H, W] that shows what the averaged network does."""
        ...
