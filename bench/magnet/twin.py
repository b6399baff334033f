"""The plain sampler against the autoregressive twin at equal size, by length: who is faster, and where that turns."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch

from bench.context import Context
from bench.magnet.models import CODEC, OFFICIAL, OFFICIAL_CODEC, SMALL, load, plain, random_checkpoint
from bench.results import Table, quartiles, spread
from models.decoder import GenerationRequest, Kind
from models.decoding.noise import sequence_key
from models.magnet.config import MAGNeTConfig
from models.magnet.decoder import MAGNeTDecoder
from models.magnet.twin import Beginning
from models.spec import Sampling
from models.tokenizers.codec_config import CodecConfig

TITLE = "MAGNeT against its autoregressive twin: latency by length (random weights)"
SECONDS = (0.5, 1.0, 2.0, 4.0)
TOGETHER = (1, 8)
LEAN: dict[str, Any] = {"reuse": 2, "guidance_share": 0.5}
NOTE = (
    "Seconds per sound, steps alone: no codec, no engine. Both have the same size, text and guidance; the twin makes a "
    "row of all codebooks a time, with the keys and values of the former ones kept. Plain: the published steps. Lean: "
    "two cheap steps after each full one, half of the steps guided. Ratios above 1: MAGNeT is faster."
)


def run(context: Context) -> None:
    with TemporaryDirectory() as scratch:
        sizes: dict[str, tuple[MAGNeTConfig, CodecConfig]] = {"5 M": (SMALL, CODEC)}
        if context.full:
            sizes["official small"] = (OFFICIAL, OFFICIAL_CODEC)
        for name, (network, codec) in sizes.items():
            decoder = load(random_checkpoint(Path(scratch) / name, network, codec), context.device, context.dtype)
            seconds = SECONDS[:1] if context.quick else SECONDS if name == "5 M" else (10.0,)
            context.add(_table(context, decoder, name, seconds))


def _table(context: Context, decoder: MAGNeTDecoder, name: str, lengths: tuple[float, ...]) -> Table:
    base = plain(decoder.spec.sampling)
    table = Table(
        f"{name} parameters",
        ["sound, s", "together", "plain, s", "lean, s", "twin, s", "twin / plain", "twin / lean"],
        note=NOTE,
    )
    for seconds in lengths:
        frames = round(seconds * decoder.config.frame_rate)
        for count in TOGETHER[:1] if context.quick else TOGETHER:
            ways = [
                partial(_parallel, decoder, base, frames, count),
                partial(_parallel, decoder, replace(base, **LEAN), frames, count),
                partial(_rows, decoder, frames, count),
            ]
            found: list[list[float]] = [[], [], []]
            for turn in range(context.repeats + 1):
                for way, into in zip(ways, found, strict=True):
                    taken = context.timed(way) / count
                    if turn:  # the first packs and allocates
                        into.append(taken)
            slow, lean, twin = found
            table.rows.append(
                [
                    seconds,
                    count,
                    *map(spread, found),
                    quartiles(a / b for a, b in zip(twin, slow, strict=True)),
                    quartiles(a / b for a, b in zip(twin, lean, strict=True)),
                ]
            )
            context.say(f"  {seconds} s x {count}: {[round(median(part), 3) for part in found]}")
    return table


def _parallel(decoder: MAGNeTDecoder, sampling: Sampling, frames: int, count: int) -> None:
    """Sequences that move on together, up to their last step."""
    seqs = [
        seq
        for at in range(count)
        for seq in decoder.admit(GenerationRequest("generate", (0, 1), sampling, at, frames=frames))
    ]
    while (work := decoder.next_work(seqs[0])) and work.kind is not Kind.FINISH:
        decoder.run(work, seqs)


@torch.inference_mode()
def _rows(decoder: MAGNeTDecoder, frames: int, count: int) -> None:
    companion = decoder.companion
    assert companion is not None
    config, text = decoder.config, companion.memory((0, 1))
    sounds = [
        Beginning(sequence_key(at, 0), torch.full((config.codebooks, frames), config.mask_id), text, companion.manner)
        for at in range(count)
    ]
    while not sounds[0].done:
        companion.twin.step(sounds)
