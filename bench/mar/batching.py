"""The engine at 1, 4 and 8 concurrent requests against the direct loop, one picture after the other."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from bench.context import Context
from bench.crowd import Crowd
from bench.drive import driver
from bench.mar.bare import BareLoop
from bench.mar.models import WARM, bare_loops, large_checkpoint, small_checkpoint
from bench.results import Table, quartiles, spread
from models.decoder import Kind
from models.mar.decoder import MARDecoder
from models.spec import Sampling
from service.engine.batch import StepRecord

TITLE = "MAR: step batching against a direct loop"
CONCURRENT = (1, 4, 8)
ANSWERS = 4  # per client and repeat
MODES: Mapping[str, Mapping[str, Any]] = {
    "guided": {"guidance_scale": 2.9, "guidance_schedule": "linear", "reuse": 0},
    "unguided": {"guidance_scale": 1.0, "reuse": 0},
}
LARGE = {"num_inference_steps": 16, "diffusion_steps": 25}
NOTE = (
    "Images per second, tokenizer included. The direct loop makes one picture after the other in the same process, "
    "with dense tensors and torch's noise, over PyTorch's layers and over those of the engine (packed weights, fused "
    "head); ratios are to the faster of the two, as `median (quartiles)`. Clients are closed loops that began at "
    "random moments; answers are counted while all are busy. Engine and loops take turns. Sequences per forward are "
    "means over time."
)


def run(context: Context) -> None:
    with small_checkpoint(context.checkpoint) as directory:
        modes = list(MODES)[:1] if context.quick else list(MODES)
        _measure(context, directory, {}, modes, context.repeats, 1 if context.quick else ANSWERS)
    if context.full:
        with large_checkpoint(context.quick) as directory:
            _measure(context, directory, LARGE, ["guided"], min(2, context.repeats), 1)


def _measure(
    context: Context, directory: Path, changes: Mapping[str, Any], modes: list[str], repeats: int, answers: int
) -> None:
    with driver(context, directory, warm=WARM) as loop:
        decoder = loop.engine.decoders[loop.model]
        assert isinstance(decoder, MARDecoder)
        bare = bare_loops(directory, decoder)
        base = replace(decoder.spec.sampling, **changes)
        table = Table(
            f"{loop.model}: {base.num_inference_steps} steps, chains of {base.diffusion_steps}, "
            f"{decoder.config.length} tokens",
            [
                "mode", "concurrent", "engine", *(f"direct loop, {name}" for name in bare), "engine / direct loop",
                "time of one / direct loop", "sequences per step", "per chain",
            ],
            note=NOTE,
        )  # fmt: skip
        records = loop.watch()
        for mode in modes:
            sampling = replace(base, **MODES[mode])
            apart = loop.run(sampling, 1, 1)
            for direct in bare.values():
                _direct(context, direct, sampling, 1)  # what it allocates and packs the first time
            rates: dict[str | int, list[float]] = defaultdict(list)
            widths: dict[int, tuple[float, float]] = {}
            for turn in range(repeats):
                for name, direct in bare.items():
                    rates[name].append(_direct(context, direct, sampling, answers))
                for clients in CONCURRENT:
                    with Crowd(loop, sampling, clients, apart, seed=turn) as crowd:
                        records.clear()
                        rates[clients].append(answers * clients / crowd.seconds(answers * clients))
                        widths[clients] = _width(records, Kind.STEP), _width(records, Kind.CHAIN)
            fastest = max(bare, key=lambda name: median(rates[name]))
            for clients in CONCURRENT:
                pairs = list(zip(rates[clients], rates[fastest], strict=True))
                table.rows.append(
                    [
                        mode,
                        clients,
                        spread(rates[clients]),
                        *(spread(rates[name]) for name in bare),
                        quartiles(mine / other for mine, other in pairs),
                        quartiles(other / mine for mine, other in pairs) if clients == 1 else "",
                        *widths[clients],
                    ]
                )
                context.say(f"  {table.rows[-1]}")
        context.add(table)


def _direct(context: Context, loop: BareLoop, sampling: Sampling, images: int) -> float:
    """Images per second."""
    classes = loop.config.num_classes
    return images / context.timed(lambda: [loop.generate(at % classes, sampling) for at in range(images)])


def _width(records: Iterable[StepRecord], kind: Kind) -> float:
    """Mean number of sequences in a forward of this kind, over time."""
    mine = [record for record in records if record.kind is kind]
    return sum(record.samples * record.elapsed for record in mine) / sum(record.elapsed for record in mine)
