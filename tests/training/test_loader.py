"""Data fetched ahead: the same as fetched when asked, to the last step and not beyond."""

import pytest
import torch
from torch import Tensor

from training.loader import Loader
from training.randomness import Batches

STEPS = 5


def fetched(workers: int, first: int = 0, last: int = STEPS) -> tuple[list[list[list[int]]], list[list[int]]]:
    """What the steps got, and what was asked for."""
    asked: list[list[int]] = []

    def fetch(rows: Tensor, mine: slice) -> tuple[Tensor, ...]:
        asked.append(rows[mine].tolist())
        return (rows[mine],)

    shares = (slice(0, None, 2), slice(1, None, 2))
    with Loader(fetch, Batches(12, 4, seed=1), shares, STEPS, workers, torch.device("cpu")) as loader:
        got = [[part.data[0].tolist() for part in loader.step(step)] for step in range(first, last)]
    return got, asked


@pytest.mark.parametrize("workers", [1, 3, 9])
def test_threads_change_nothing(workers: int) -> None:
    plain, _ = fetched(0)
    ahead, asked = fetched(workers)
    assert ahead == plain and len(asked) == 2 * STEPS


def test_steps_beyond_the_last_one_are_fetched_when_asked_for() -> None:
    assert fetched(2, STEPS, STEPS + 3)[0] == fetched(0, STEPS, STEPS + 3)[0]


def test_an_error_of_a_thread_reaches_the_step() -> None:
    def fetch(rows: Tensor, mine: slice) -> tuple[Tensor, ...]:
        raise MemoryError

    with (
        Loader(fetch, Batches(4, 2, seed=1), (slice(None),), 2, 2, torch.device("cpu")) as loader,
        pytest.raises(MemoryError),
    ):
        loader.step(0)
