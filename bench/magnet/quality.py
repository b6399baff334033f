"""Settings of a trained MAGNeT and its twin alone: time against what is heard."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from torch import Tensor

from bench.context import Context
from bench.magnet.models import load, plain
from bench.results import Table, quartiles, spread
from models.captions import indices
from models.magnet.consistency import TWIN, read_twin
from models.magnet.network import MAGNeT
from models.spec import Sampling
from models.weights import load_module
from training.data.fashion import MissingDataError
from training.data.sounds import MOST_TERMS, SoundSet
from training.evaluate.classifier import Classifier
from training.evaluate.loops import listener_in, unheard
from training.evaluate.sounds import codec_scores, sample_scores, waves_of
from training.sampled_sounds import begin_sounds, manner_of, sample_sounds

TITLE = "MAGNeT against its autoregressive twin: quality against time"
LOOPS = Path("runs/loops")
TOGETHER = 8
FIRST = 10_000  # of the loops that nobody else listens to
SHARES = (1.67, 1.0, 0.67, 0.5, 0.33, 0.2)  # of the steps that are the checkpoint's default
CHANGES: tuple[tuple[float, Mapping[str, Any]], ...] = (
    *((share, {}) for share in SHARES),
    (1.0, {"span_arrangement": "nonoverlap"}),
    (1.0, {"guidance_share": 0.5}),
    (1.0, {"reuse": 1, "full_first": 1}),
    (1.0, {"reuse": 4, "full_first": 1}),
    (1.0, {"reuse": 2, "full_first": 4, "guidance_share": 0.5}),
    (0.5, {"reuse": 2, "full_first": 2, "guidance_share": 0.5}),
    (0.33, {"reuse": 2, "full_first": 1, "guidance_share": 0.5}),
    (1.0, {"rescoring": 0.3}),
    (1.0, {"rescoring": 0.7}),
    (1.0, {"head_start": 1.0}),
    (0.5, {"head_start": 1.0}),
)
COLUMNS = [
    "steps", "spans", "guided share", "reuse u", "full first", "rescoring", "head start, s", "alone, ms",
    f"of {TOGETHER}, ms", "twin alone / alone", "FAD-cls", "instrument, %", "tempo, %",
]  # fmt: skip
Make = Callable[[list[tuple[int, ...]], int], Tensor]


@dataclass(frozen=True)
class Way:
    """To make sounds for terms, from a first seed on. sampling: None of the twin alone."""

    sampling: Sampling | None
    make: Make


def run(context: Context) -> None:
    if context.checkpoint is None:
        context.say("  there is no trained checkpoint: nothing to score")
        return
    try:
        listener = listener_in(LOOPS)
        asked, others = unheard(FIRST, context.samples), unheard(FIRST + context.samples, context.samples)
    except MissingDataError as error:
        context.say(f"  nothing to score: {error}")
        return
    measure(context, context.checkpoint, listener, asked, others)


def measure(context: Context, place: Path, listener: Classifier, asked: SoundSet, others: SoundSet) -> None:
    decoder = load(place, context.device, context.dtype)
    ways = _ways(context, place)
    places = {term: at for at, term in enumerate(decoder.spec.vocabulary)}
    terms = [indices(caption, places, MOST_TERMS) for caption in asked.captions]
    real = codec_scores(decoder.codec, asked, others, listener)
    times = _times(context, ways, terms)
    note = (
        f"{len(asked)} samples each, for captions of pairs of instrument and tempo that were trained on. Milliseconds "
        f"per sound, alone and when {TOGETHER} move together, without an engine, codec included; settings take turns. "
        f"FAD-cls, to as many other real loops, is {real['fad_cls_floor']:.2f} of real loops and "
        f"{real['fad_cls_resynthesised']:.2f} of real loops that passed the codec; of these the listener finds "
        f"{real['instrument_real']:.1f} and {real['instrument_resynthesised']:.1f} % of the instruments, and "
        f"{real['tempo_real']:.1f} and {real['tempo_resynthesised']:.1f} % of the tempi. Twin alone: one row of all "
        "codebooks after the other, with its cache, guided."
    )
    table = Table(f"{context.samples} samples each", COLUMNS, note=note)
    twin = next((at for at, way in enumerate(ways) if way.sampling is None), None)
    for at, way in enumerate(ways):
        made = way.make(terms, 0)
        scores = sample_scores(made, asked.captions, waves_of(others)[..., : made.shape[-1]], listener)
        alone, together = times[at, 1], times[at, TOGETHER]
        gain: Any = ""
        if twin is not None:
            gain = quartiles(a / b for a, b in zip(times[twin, 1], alone, strict=True))
        table.rows.append(
            [
                *_cells(way.sampling),
                spread(1000 * seconds for seconds in alone),
                spread(1000 * seconds for seconds in together),
                gain,
                scores["fad_cls"],
                scores["instrument"],
                scores["tempo"],
            ]
        )
        context.say(f"  {table.rows[-1]}")
    context.add(table)


def _ways(context: Context, place: Path) -> list[Way]:
    decoder = load(place, context.device, context.dtype)
    base = plain(decoder.spec.sampling)
    changes = CHANGES[-3:] if context.quick else CHANGES
    if decoder.companion is None:
        changes = tuple(one for one in changes if not {"rescoring", "head_start"} & one[1].keys())
    samplings = [
        replace(base.with_steps(round(share * base.num_inference_steps)), **change) for share, change in changes
    ]
    ways = [
        Way(one, lambda terms, seed, one=one: sample_sounds(decoder, terms, one, seed))  # type: ignore[misc]
        for one in samplings
    ]
    if decoder.companion is not None:
        sizes, sampling = read_twin(place / TWIN, place)
        network = load_module(MAGNeT(sizes), place / TWIN).to(context.device).eval()
        ways.append(Way(None, partial(_begun, network, decoder.codec, sampling)))
    return ways


def _begun(network: MAGNeT, codec: Any, sampling: Sampling, terms: list[tuple[int, ...]], seed: int) -> Tensor:
    return begin_sounds(network, codec, terms, manner_of(sampling), seed)


def _times(context: Context, ways: list[Way], terms: list[tuple[int, ...]]) -> dict[tuple[int, int], list[float]]:
    """(way, sounds together) -> seconds per sound."""
    found: dict[tuple[int, int], list[float]] = defaultdict(list)
    for turn in range(context.repeats + 1):
        for at, way in enumerate(ways):
            for count in (1, TOGETHER):
                seconds = context.timed(partial(way.make, terms[:count], turn)) / count
                if turn:  # the first packs and allocates
                    found[at, count].append(seconds)
    context.say(f"  alone, ms: {[round(1000 * median(found[at, 1])) for at in range(len(ways))]}")
    return found


def _cells(sampling: Sampling | None) -> list[Any]:
    if sampling is None:
        return ["twin alone", "", "", "", "", "", ""]
    return [
        "+".join(map(str, sampling.codebook_steps)),
        sampling.span_arrangement,
        sampling.guidance_share,
        sampling.reuse,
        sampling.full_first,
        sampling.rescoring,
        sampling.head_start,
    ]
