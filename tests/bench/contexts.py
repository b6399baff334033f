"""What benches need in tests: a context in which everything is as small as it gets, and a judge without data."""

from pathlib import Path
from typing import Any

import torch

from bench.context import Context
from bench.results import Store
from bench.scoring import Scored
from models.decoder import IterativeDecoder
from models.spec import Sampling
from training.evaluate.sampling import sample_images

FACTS = {
    "machine": {
        "cpu": "CPU X", "cores": 2, "cpu_capability": "AVX2", "memory_gib": 8, "torch": "2.6", "threads": 2,
        "device": "cpu", "dtype": "float32",
    },
    "load": {"cpu_percent": 3.0, "load_average": 0.1, "busiest": []},
    "weights": "random",
    "quick": False,
    "forced": False,
}  # fmt: skip


def quick_context(place: Path, checkpoint: Path | None, full: bool = False) -> Context:
    """Results go to `place`/bench.json, as of the bench "one"."""
    store = Store.open(place / "bench.json")
    store.begin("one", "A bench", FACTS)
    return Context(
        device="cpu", dtype="float32", threads=1, quick=True, repeats=1, seconds=0.02, samples=16, full=full,
        checkpoint=checkpoint, store=store, bench="one",
    )  # fmt: skip


def tables(context: Context) -> list[dict[str, Any]]:
    """What was stored."""
    return list(context.store.content["one"]["tables"])


def column(table: dict[str, Any], title: str) -> list[Any]:
    at = table["columns"].index(title)
    return [row[at] for row in table["rows"]]


class FlatJudge:
    """Finds all pictures equally good, after it has made them."""

    real = 0.1

    def floor(self, count: int) -> float:
        return 1.0

    def score(self, context: Context, decoder: IterativeDecoder, sampling: Sampling, count: int, seed: int) -> Scored:
        labels = torch.arange(count) % len(decoder.spec.classes)
        seconds = context.timed(lambda: sample_images(decoder, labels, sampling, seed))
        return Scored(sampling, 5.0, 90.0, 1000.0 * seconds / count)
