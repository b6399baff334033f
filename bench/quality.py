"""Time and FID-cls by steps K, reuse u and full steps first, on the trained Fashion-MNIST checkpoint."""

from dataclasses import replace
from typing import Any

from bench.context import Context
from bench.models import load
from bench.results import Table, spread
from bench.scoring import BATCH, FashionJudge, Judge, Scored, again, best_pair
from models.decoder import IterativeDecoder
from models.spec import Sampling

TITLE = "ReCAP: quality against time"
PLAIN = (4, 6, 8, 10, 12, 16)  # K
REUSE = ((6, 1, 0), (8, 1, 0), (8, 1, 2), (12, 1, 0), (12, 1, 2), (12, 2, 2), (16, 1, 2), (16, 2, 2), (16, 3, 2))
FULL_COUNT, FULL_SEEDS = 10_000, 3
COLUMNS = ["steps K", "reuse u", "full first", "ms per image", "FID-cls", "accuracy, %"]


def run(context: Context) -> None:
    if context.checkpoint is None:
        context.say("  there is no trained checkpoint: nothing to score")
        return
    measure(context, load(context.checkpoint, context.device, context.dtype), FashionJudge())


def measure(context: Context, decoder: IterativeDecoder, judge: Judge) -> None:
    settings = [(3, 0, 0), (4, 1, 0)] if context.quick else [*((steps, 0, 0) for steps in PLAIN), *REUSE]
    table = Table(
        f"{context.samples} samples each",
        COLUMNS,
        note=f"FID-cls of real training images, as many: {judge.floor(context.samples):.3f} (10,000: {judge.real:.3f})."
        f" Time: {BATCH} at once, tokenizer included. Distances of different sample counts do not compare.",
    )
    scored = []
    for steps, reuse, first in settings:
        sampling = replace(decoder.spec.sampling, num_inference_steps=steps, reuse=reuse, full_first=first)
        made = judge.score(context, decoder, sampling, context.samples, seed=1)
        table.rows.append([*_cells(sampling), made.milliseconds, made.fid, made.accuracy])
        context.say(f"  {table.rows[-1]}")
        scored.append(made)
    context.add(table)
    if context.full:
        count, seeds = (context.samples, 2) if context.quick else (FULL_COUNT, FULL_SEEDS)
        _confirm(context, decoder, judge, best_pair(scored), count, seeds)


def _cells(sampling: Sampling) -> list[int]:
    return [sampling.num_inference_steps, sampling.reuse, sampling.full_first]


def _confirm(
    context: Context, decoder: IterativeDecoder, judge: Judge, pair: tuple[Scored, Scored], count: int, seeds: int
) -> None:
    table = Table(
        f"The best plain setting and the best with reuse: {count} samples, {seeds} seeds",
        [*COLUMNS, "faster"],
        note=f"FID-cls of 10,000 real training images: {judge.real:.3f}.",
    )
    runs = again(context, decoder, judge, pair, count, seeds)
    faster = [a.milliseconds / b.milliseconds for a, b in zip(*runs, strict=True)]
    for found, ratio in zip(runs, ("1", spread(faster)), strict=True):
        columns: list[Any] = [[s.milliseconds for s in found], [s.fid for s in found], [s.accuracy for s in found]]
        table.rows.append([*_cells(found[0].sampling), *map(spread, columns), ratio])
    context.add(table)
