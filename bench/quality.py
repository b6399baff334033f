"""Time and FID-cls by steps K, reuse u and full steps first, on the trained Fashion-MNIST checkpoint."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from bench.context import Context
from bench.models import load
from bench.results import Table, spread
from models.decoder import GenerationRequest, Kind
from models.maskgit.decoder import MaskGITDecoder
from models.spec import Sampling
from training.data import load as load_data
from training.evaluate.classifier import Classifier, load_classifier
from training.evaluate.frechet import frechet_distance
from training.evaluate.metrics import Reference, assess, balanced_labels, reference

TITLE = "ReCAP: quality against time"
BATCH = 100
PLAIN = (4, 6, 8, 10, 12, 16)  # K
REUSE = ((6, 1, 0), (8, 1, 0), (8, 1, 2), (12, 1, 0), (12, 1, 2), (12, 2, 2), (16, 1, 2), (16, 2, 2), (16, 3, 2))
FULL_COUNT, FULL_SEEDS, EQUAL = 10_000, 3, 0.03


@dataclass(frozen=True)
class Setting:
    steps: int
    reuse: int = 0
    full_first: int = 0

    def of(self, base: Sampling) -> Sampling:
        return replace(base, num_inference_steps=self.steps, reuse=self.reuse, full_first=self.full_first)

    @property
    def cells(self) -> list[int]:
        return [self.steps, self.reuse, self.full_first]


@dataclass(frozen=True)
class Scored:
    setting: Setting
    fid: float
    accuracy: float
    milliseconds: float  # per image

    @property
    def cells(self) -> list[Any]:
        return [*self.setting.cells, self.milliseconds, self.fid, self.accuracy]


def run(context: Context) -> None:
    if context.checkpoint is None:
        context.say("  there is no trained checkpoint: nothing to score")
        return
    decoder = load(context.checkpoint, context.device, context.dtype)
    classifier = load_classifier()
    real = reference(classifier, load_data("fashion", "train", None), load_data("fashion", "test", None))
    settings = [Setting(steps) for steps in PLAIN] + [Setting(*numbers) for numbers in REUSE]
    if context.quick:
        settings = [Setting(3), Setting(4, 1)]
    floor = frechet_distance(real.train.features[: context.samples], real.test.features)
    table = Table(
        f"{context.samples} samples each",
        ["steps K", "reuse u", "full first", "ms per image", "FID-cls", "accuracy, %"],
        note=f"FID-cls of real training images, as many: {floor:.3f} (10,000: {real.floor:.3f}). Time: {BATCH} at "
        "once, tokenizer included. Distances of different sample counts do not compare.",
    )
    scored = []
    for setting in settings:
        made = score(context, decoder, classifier, real, setting, context.samples, seed=1)
        context.say(f"  {made}")
        table.rows.append(made.cells)
        scored.append(made)
    context.add(table)
    pair = best_pair(scored)
    if context.full:
        count, seeds = (context.samples, 2) if context.quick else (FULL_COUNT, FULL_SEEDS)
        _confirm(context, decoder, classifier, real, pair, count, seeds)


def best_pair(scored: list[Scored]) -> tuple[Setting, Setting]:
    """The fastest plain setting whose distance is near the best plain one, and the fastest with reuse that is no
    worse than it."""
    plain = [s for s in scored if not s.setting.reuse]
    reuse = [s for s in scored if s.setting.reuse]
    least = min(s.fid for s in plain)
    base = min((s for s in plain if s.fid <= least * (1 + EQUAL)), key=lambda s: s.milliseconds)
    good = [s for s in reuse if s.fid <= base.fid * (1 + EQUAL)] or [min(reuse, key=lambda s: s.fid)]
    return base.setting, min(good, key=lambda s: s.milliseconds).setting


def _confirm(
    context: Context,
    decoder: MaskGITDecoder,
    classifier: Classifier,
    real: Reference,
    pair: tuple[Setting, Setting],
    count: int,
    seeds: int,
) -> None:
    table = Table(
        f"The best plain setting and the best with reuse: {count} samples, {seeds} seeds",
        ["steps K", "reuse u", "full first", "ms per image", "FID-cls", "accuracy, %", "faster"],
        note=f"FID-cls of 10,000 real training images: {real.floor:.3f}.",
    )
    runs: list[list[Scored]] = [[], []]
    for seed in range(seeds):
        for found, setting in zip(runs, pair, strict=True):
            found.append(score(context, decoder, classifier, real, setting, count, seed=(seed + 2) * 10**6))
            context.say(f"  {found[-1]}")
    faster = [a.milliseconds / b.milliseconds for a, b in zip(*runs, strict=True)]
    for found, ratio in zip(runs, ("1", spread(faster)), strict=True):
        columns = [[s.milliseconds for s in found], [s.fid for s in found], [s.accuracy for s in found]]
        table.rows.append([*found[0].setting.cells, *map(spread, columns), ratio])
    context.add(table)


def score(
    context: Context,
    decoder: MaskGITDecoder,
    classifier: Classifier,
    real: Reference,
    setting: Setting,
    count: int,
    seed: int,
) -> Scored:
    """Make `count` images, every class as often, and judge them. Sample i has seed `seed + i`."""
    sampling = setting.of(decoder.spec.sampling)
    labels = balanced_labels(decoder.config.num_classes, count)
    images: list[torch.Tensor] = []

    def make() -> None:
        for part in torch.arange(count).split(BATCH):
            requests = [GenerationRequest("generate", int(labels[i]), sampling, seed + int(i)) for i in part]
            seqs = [seq for request in requests for seq in decoder.admit(request)]
            while (work := decoder.next_work(seqs[0])) and work.kind is not Kind.FINISH:
                decoder.run(work, seqs)
            images.extend(torch.from_numpy(made.array).permute(2, 0, 1) for made in decoder.finish(seqs))
            for seq in seqs:
                decoder.release(seq)

    seconds = context.timed(make)
    cloud = assess(classifier, torch.stack(images), labels)
    return Scored(setting, real.distance(cloud), cloud.accuracy, 1000.0 * seconds / count)
