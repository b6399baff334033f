"""The data of the coming steps, fetched ahead by threads."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from training.randomness import Batches

Fetch = Callable[[Tensor, slice], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Loaded:
    """A share of a batch of `size` rows: which one, and its data."""

    size: int
    mine: slice
    data: tuple[Tensor, ...]


class Loader:
    """Calls `fetch(rows, mine)` for every share `mine` of a step's rows.

    `workers` threads do that ahead of time, as many steps as there are threads; with 0 it is done when asked for.
    Tensors for a GPU are pinned. What a step gets depends on neither.
    """

    def __init__(
        self, fetch: Fetch, batches: Batches, mine: tuple[slice, ...], steps: int, workers: int, device: torch.device
    ) -> None:
        self.fetch, self.batches, self.mine, self.steps = fetch, batches, mine, steps
        self.workers, self.pinned = workers, device.type == "cuda"
        self.pool = ThreadPoolExecutor(workers) if workers else None
        self._ahead: dict[int, Future[list[Loaded]]] = {}

    def __enter__(self) -> "Loader":
        return self

    def __exit__(self, *_: object) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def step(self, step: int) -> list[Loaded]:
        """The shares of `step`, in order."""
        if self.pool is None:
            return self._load(self.batches.rows(step))
        for coming in range(step, max(step, min(step + self.workers, self.steps - 1)) + 1):
            if coming not in self._ahead:
                self._ahead[coming] = self.pool.submit(self._load, self.batches.rows(coming))
        return self._ahead.pop(step).result()

    def _load(self, rows: Tensor) -> list[Loaded]:
        return [Loaded(len(rows), mine, self._placed(self.fetch(rows, mine))) for mine in self.mine]

    def _placed(self, data: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(t.pin_memory() for t in data) if self.pinned else data
