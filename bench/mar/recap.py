"""ReCAP settings of a trained MAR: time alone and together, FID-cls, and what the rows allow."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

from bench.context import Context
from bench.mar.models import load
from bench.mar.rows import BOUND, bounds
from bench.results import Table, quartiles, spread
from bench.scoring import BATCH, EQUAL, FashionJudge, Judge, Scored, again, best_pair
from models.mar.decoder import MARDecoder
from models.spec import Sampling
from training.evaluate.metrics import balanced_labels
from training.evaluate.sampling import sample_images

TITLE = "MAR with ReCAP: quality against time"
TOGETHER = 8
PLAIN: tuple[Mapping[str, Any], ...] = (
    *({"num_inference_steps": steps} for steps in (4, 8, 12, 16, 32)),
    *({"num_inference_steps": 16, "diffusion_steps": chain} for chain in (12, 25, 50)),
)
RECAP: tuple[Mapping[str, Any], ...] = (
    {"num_inference_steps": 8, "reuse": 1},
    {"num_inference_steps": 12, "reuse": 1, "full_first": 2},
    {"num_inference_steps": 16, "reuse": 1, "full_first": 2},
    {"num_inference_steps": 16, "reuse": 1, "full_first": 2, "reuse_buffer": True},
    {"num_inference_steps": 16, "reuse": 1, "full_first": 2, "diffusion_reuse": 1.0},
    {"num_inference_steps": 16, "reuse": 1, "full_first": 2, "diffusion_steps": 25},
    {"num_inference_steps": 16, "reuse": 2, "full_first": 2},
    {"num_inference_steps": 32, "reuse": 1, "full_first": 4},
    {"num_inference_steps": 32, "reuse": 2, "full_first": 4},
    {"num_inference_steps": 32, "reuse": 2, "full_first": 4, "reuse_buffer": True},
)
QUICK: tuple[Mapping[str, Any], ...] = ({"num_inference_steps": 3}, {"num_inference_steps": 4, "reuse": 1})
FULL_COUNT, FULL_SEEDS = 10_000, 3
COLUMNS = ["steps K", "chain", "reuse u", "full first", "buffer kept", "chain of reuse steps"]


def run(context: Context) -> None:
    if context.checkpoint is None:
        context.say("  there is no trained checkpoint: nothing to score")
        return
    measure(context, load(context.checkpoint, context.device, context.dtype), FashionJudge())


def measure(context: Context, decoder: MARDecoder, judge: Judge) -> None:
    base = replace(decoder.spec.sampling, reuse=0, full_first=0, reuse_buffer=False)
    changes = QUICK if context.quick else (*PLAIN, *RECAP)
    samplings = list(dict.fromkeys(replace(base, **change) for change in changes))
    scored = []
    for sampling in samplings:
        scored.append(judge.score(context, decoder, sampling, context.samples, seed=1))
        context.say(f"  {scored[-1]}")
    times = _times(context, decoder, samplings)
    table = Table(
        f"{context.samples} samples each",
        [*COLUMNS, "alone, ms", f"of {TOGETHER}, ms", f"of {BATCH}, ms", "bound", "FID-cls", "accuracy, %"],
        note=f"Milliseconds per image: alone, and when {TOGETHER} or {BATCH} move together, without an engine, "
        "tokenizer included; settings take turns, but for the last. Bound: what the gain over a plain run of as many "
        "steps and as long chains could be. FID-cls of real training images, as many: "
        f"{judge.floor(context.samples):.3f} (10,000: {judge.real:.3f}). Distances of different sample counts do not "
        f"compare. {BOUND}",
    )
    for one in scored:
        alone, together = (spread(1000 * seconds for seconds in times[one.sampling, count]) for count in (1, TOGETHER))
        bound = bounds(decoder.config, replace(one.sampling, reuse=0), one.sampling)[0]
        table.rows.append(
            [*_cells(one.sampling), alone, together, one.milliseconds, bound, one.fid, one.accuracy],
        )
    context.add(table)
    timed = [replace(one, milliseconds=1000 * median(times[one.sampling, TOGETHER])) for one in scored]
    pair = best_pair(timed)
    context.add(_gain(decoder, pair, times))
    if context.full:
        count, seeds = (context.samples, 2) if context.quick else (FULL_COUNT, FULL_SEEDS)
        context.add(_confirmed(judge, again(context, decoder, judge, pair, count, seeds), count))


Times = Mapping[tuple[Sampling, int], list[float]]  # (setting, pictures together) -> seconds per image


def _times(context: Context, decoder: MARDecoder, samplings: list[Sampling]) -> Times:
    found: dict[tuple[Sampling, int], list[float]] = defaultdict(list)
    for turn in range(context.repeats):
        for sampling in samplings:
            for count in (1, TOGETHER):
                labels = balanced_labels(decoder.config.num_classes, count)
                make = partial(sample_images, decoder, labels, sampling, seed=turn)
                found[sampling, count].append(context.timed(make) / count)
    return found


def _cells(sampling: Sampling) -> list[Any]:
    return [
        sampling.num_inference_steps,
        sampling.diffusion_steps,
        sampling.reuse,
        sampling.full_first,
        "yes" if sampling.reuse_buffer else "no",
        sampling.diffusion_reuse if sampling.reuse else "",
    ]


def _gain(decoder: MARDecoder, pair: tuple[Scored, Scored], times: Times) -> Table:
    """The two settings that are worth comparing."""
    plain, recap = pair
    everything, alone = bounds(decoder.config, plain.sampling, recap.sampling)
    table = Table(
        "Gain at equal FID-cls",
        [*COLUMNS, "FID-cls", "faster alone", f"{TOGETHER} together", "bound", "bound of steps alone"],
        note=f"The fastest plain setting whose distance is within {100 * EQUAL:.0f} % of the best plain one, and the "
        "fastest with reuse whose distance is at most as much larger than that, or else the best with reuse; by the "
        f"times of {TOGETHER} together. Gains read `median (quartiles)`. {BOUND}",
    )
    gains = (
        quartiles(a / b for a, b in zip(times[plain.sampling, n], times[recap.sampling, n], strict=True))
        for n in (1, TOGETHER)
    )
    table.rows = [
        [*_cells(plain.sampling), plain.fid, "1", "1", "1", "1"],
        [*_cells(recap.sampling), recap.fid, *gains, everything, alone],
    ]
    return table


def _confirmed(judge: Judge, runs: tuple[list[Scored], list[Scored]], count: int) -> Table:
    table = Table(
        f"The same two: {count} samples, {len(runs[0])} seeds",
        [*COLUMNS, f"of {BATCH}, ms", "FID-cls", "accuracy, %"],
        note=f"FID-cls of 10,000 real training images: {judge.real:.3f}.",
    )
    for found in runs:
        columns = ([s.milliseconds for s in found], [s.fid for s in found], [s.accuracy for s in found])
        table.rows.append([*_cells(found[0].sampling), *map(spread, columns)])
    return table
