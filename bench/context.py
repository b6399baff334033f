"""What a bench is given."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from bench.render import cell
from bench.results import Store, Table

T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    device: str
    dtype: str
    threads: int
    quick: bool  # a run that only shows that everything works
    repeats: int
    seconds: float  # length of one HTTP measurement
    samples: int  # of the quality sweep
    full: bool  # the long parts too
    checkpoint: Path | None  # a servable directory, else random weights
    store: Store
    bench: str = ""

    def add(self, table: Table) -> None:
        """Keep a table and show it."""
        self.store.add(self.bench, table)
        self.say(table.title)
        for row in [table.columns, *table.rows]:
            self.say("  " + " | ".join(cell(value) for value in row))

    def say(self, line: str) -> None:
        print(line, flush=True)

    def sync(self) -> None:
        """Wait for the device, so that a clock means something."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()

    def timed(self, act: Callable[[], object]) -> float:
        """Seconds of one call."""
        self.sync()
        start = time.perf_counter()
        act()
        self.sync()
        return time.perf_counter() - start

    def aside(self, act: Callable[[], T]) -> T:
        """What `act` returns, from a thread of its own with as many workers.

        OpenMP keeps the workers of a thread as long as it lives. Where those of this thread and of an engine's are more
        than there are cores, workers sleep at every barrier instead of waiting, and small networks take twice as long:
        whoever measures an engine computes elsewhere.
        """
        found: list[T] = []

        def compute() -> None:
            torch.set_num_threads(self.threads)
            found.append(act())

        thread = threading.Thread(target=compute, name="aside")
        thread.start()
        thread.join()
        if not found:
            raise RuntimeError("what was to be computed aside has failed")
        return found[0]

    @contextmanager
    def stopwatch(self, into: dict[str, float], name: str) -> Iterator[None]:
        """Add the seconds of the block to `into[name]`."""
        self.sync()
        start = time.perf_counter()
        yield
        self.sync()
        into[name] = into.get(name, 0.0) + time.perf_counter() - start


class Bench(Protocol):
    TITLE: str

    def run(self, context: Context) -> Any: ...
