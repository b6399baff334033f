"""Samples of a decoder against the test images of Fashion-MNIST, and which settings are worth comparing."""

from dataclasses import dataclass
from typing import Protocol

import torch

from bench.context import Context
from models.decoder import IterativeDecoder
from models.spec import Sampling
from training.data import load as load_data
from training.evaluate.classifier import Classifier, load_classifier
from training.evaluate.frechet import frechet_distance
from training.evaluate.metrics import Reference, assess, balanced_labels, reference
from training.evaluate.sampling import sample_images

BATCH = 100
EQUAL = 0.03  # a distance that much larger still counts as equal


@dataclass(frozen=True)
class Scored:
    sampling: Sampling
    fid: float
    accuracy: float  # percent
    milliseconds: float  # per image


class Judge(Protocol):
    """real: the distance of 10,000 real training images."""

    real: float

    def floor(self, count: int) -> float:
        """FID-cls of `count` real training images."""
        ...

    def score(self, context: Context, decoder: IterativeDecoder, sampling: Sampling, count: int, seed: int) -> Scored:
        """Make `count` images, every class as often, and judge them. Sample i has seed `seed + i`."""
        ...


class FashionJudge:
    def __init__(self) -> None:
        self._classifier: Classifier = load_classifier()
        self._reference: Reference = reference(
            self._classifier, load_data("fashion", "train", None), load_data("fashion", "test", None)
        )
        self.real = self._reference.floor

    def floor(self, count: int) -> float:
        return frechet_distance(self._reference.train.features[:count], self._reference.test.features)

    def score(self, context: Context, decoder: IterativeDecoder, sampling: Sampling, count: int, seed: int) -> Scored:
        labels = balanced_labels(len(decoder.spec.classes), count)
        images: list[torch.Tensor] = []
        seconds = context.timed(lambda: images.append(sample_images(decoder, labels, sampling, seed, BATCH)))
        cloud = assess(self._classifier, images[0], labels)
        return Scored(sampling, self._reference.distance(cloud), cloud.accuracy, 1000.0 * seconds / count)


def best_pair(scored: list[Scored]) -> tuple[Scored, Scored]:
    """The fastest plain setting whose distance is near the best plain one, and the fastest with reuse that is no
    worse than it."""
    plain = [s for s in scored if not s.sampling.reuse]
    reuse = [s for s in scored if s.sampling.reuse]
    least = min(s.fid for s in plain)
    base = min((s for s in plain if s.fid <= least * (1 + EQUAL)), key=lambda s: s.milliseconds)
    good = [s for s in reuse if s.fid <= base.fid * (1 + EQUAL)] or [min(reuse, key=lambda s: s.fid)]
    return base, min(good, key=lambda s: s.milliseconds)


def again(
    context: Context, decoder: IterativeDecoder, judge: Judge, pair: tuple[Scored, Scored], count: int, seeds: int
) -> tuple[list[Scored], list[Scored]]:
    """Both settings with other seeds, in turn."""
    runs: tuple[list[Scored], list[Scored]] = ([], [])
    for seed in range(seeds):
        for found, scored in zip(runs, pair, strict=True):
            found.append(judge.score(context, decoder, scored.sampling, count, seed=(seed + 2) * 10**6))
            context.say(f"  {found[-1]}")
    return runs
