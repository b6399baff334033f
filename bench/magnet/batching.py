"""The engine at 1, 4, 8 and 16 concurrent requests, against what its kernels alone would take."""

from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from statistics import median

import torch

from bench.context import Context
from bench.crowd import Crowd
from bench.drive import driver
from bench.magnet.models import load, plain, small_checkpoint
from bench.results import Table, quartiles, spread
from models.decoder import Kind
from models.decoding.noise import sequence_key
from models.magnet.admission import decoding_of
from models.magnet.decoder import MAGNeTDecoder
from models.magnet.sample import Sample, Turn
from models.spec import Sampling
from service.engine.batch import StepRecord

TITLE = "MAGNeT: step batching against the kernels' ceiling"
CONCURRENT = (1, 4, 8, 16)
ANSWERS = 2  # per client and repeat
CEILING = 8  # sequences that move together
NOTE = (
    f"Sounds per second, codec included. Ceiling: {CEILING} sequences in step, of which only the forwards of network "
    "and codec are timed, without masking, drawing, guidance and engine. Clients are closed loops that began at random "
    "moments; answers are counted while all are busy. Ratios read `median (quartiles)`; the measurements take turns."
)


def run(context: Context) -> None:
    with small_checkpoint(context.checkpoint) as directory, driver(context, directory) as loop:
        decoder = context.aside(lambda: load(directory, context.device, context.dtype))
        sampling = plain(decoder.spec.sampling)
        clients = CONCURRENT[:2] if context.quick else CONCURRENT
        rates: dict[int, list[float]] = defaultdict(list)
        ceiling: list[float] = []
        widths: dict[int, float] = {}
        records = loop.watch()
        apart = loop.run(sampling, 1, 1)
        context.aside(lambda: _ceiling(context, decoder, sampling, 2))
        for turn in range(context.repeats):
            ceiling.append(CEILING / context.aside(lambda: _ceiling(context, decoder, sampling, CEILING)))
            for count in clients:
                with Crowd(loop, sampling, count, apart, seed=turn) as crowd:
                    records.clear()
                    answers = ANSWERS * count
                    rates[count].append(answers / crowd.seconds(answers))
                    widths[count] = _width(records)
        table = Table(
            f"{loop.model}: {'+'.join(map(str, sampling.codebook_steps))} steps, guided, "
            f"{decoder.config.length} tokens in {decoder.config.codebooks} codebooks",
            ["concurrent", "engine", "of one alone", "of the ceiling", "sequences per step"],
            note=NOTE,
        )
        for count in clients:
            table.rows.append(
                [
                    count,
                    spread(rates[count]),
                    quartiles(mine / one for mine, one in zip(rates[count], rates[1], strict=True)),
                    quartiles(mine / top for mine, top in zip(rates[count], ceiling, strict=True)),
                    widths[count],
                ]
            )
        table.rows.append([f"ceiling, {CEILING}", spread(ceiling), median(ceiling) / median(rates[1]), 1.0, CEILING])
        context.add(table)


@torch.inference_mode()
def _ceiling(context: Context, decoder: MAGNeTDecoder, sampling: Sampling, count: int) -> float:
    """Seconds of the forwards of `count` sequences, from their first step to their waveforms."""
    config, stepper = decoder.config, decoder.stepper
    decoding = decoding_of(sampling, decoder.spec, config)
    states = decoder.text.encode((0, 1))
    assert states is not None
    text = decoder.network.memory(decoder.network.condition(states.to(decoder.dtype)))
    samples = [Sample.begin(config, decoding, sequence_key(at, 0), text) for at in range(count)]
    seconds = 0.0
    while not samples[0].done:
        turns = [Turn.of(sample, config.mask_id) for sample in samples]
        branches = [branch for turn in turns for branch in turn.branches]
        seconds += context.timed(partial(decoder.network.evaluate, branches))
        stepper.step(samples)
    ids = torch.stack([sample.ids for sample in samples])
    return seconds + context.timed(lambda: decoder.codec.decode(ids.to(decoder.device)))


def _width(records: Iterable[StepRecord]) -> float:
    """Mean number of sequences in a step, over time."""
    mine = [record for record in records if record.kind is Kind.STEP]
    return sum(record.samples * record.elapsed for record in mine) / sum(record.elapsed for record in mine)
