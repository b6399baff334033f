"""Whole pictures at the official size, random weights: plain runs beside runs with reuse steps (ReCAP)."""

from dataclasses import dataclass, replace

from bench.context import Context
from bench.mar import published
from bench.mar.models import GUIDANCE, large_checkpoint, load
from bench.mar.rows import BOUND, bounds
from bench.results import Table, spread
from bench.walk import admit, release, step
from models.decoder import GenerationRequest
from models.mar.decoder import MARDecoder
from models.spec import Sampling

TITLE = "MAR: whole pictures with reuse steps at the official size (MAR-B, 256 tokens, random weights)"
STEPS, CHAIN, MANY = 16, 25, 8


@dataclass
class Spent:
    """Seconds of one run."""

    steps: float = 0.0
    chains: float = 0.0

    @property
    def total(self) -> float:
        return self.steps + self.chains


def run(context: Context) -> None:
    with large_checkpoint(context.quick) as directory:
        decoder = load(directory, context.device, context.dtype)
        context.add(_table(context, decoder))
        for sequences in (1, MANY) if context.full else (1,):
            context.add(published.table(context, decoder, sequences))


def _table(context: Context, decoder: MARDecoder) -> Table:
    steps = min(STEPS, decoder.config.length)
    plain = Sampling(num_inference_steps=steps, guidance_scale=GUIDANCE, diffusion_steps=CHAIN)
    recap = replace(plain, reuse=1)
    everything, alone = bounds(decoder.config, plain, recap)
    table = Table(
        f"{steps} steps, u=1, chains of {CHAIN}, half of that in reuse steps",
        [
            "sequences", "plain: steps, s", "chains, s", "ReCAP: steps, s", "chains, s", "faster", "bound",
            "steps alone", "bound",
        ],
        note=f"Guided; both runs advance in turn, one step each; no tokenizer. {BOUND}",
    )  # fmt: skip
    for sequences in (1, MANY) if context.full else (1,):
        repeats = 1 if sequences > 1 else min(2, context.repeats)
        runs = [_in_turn(context, decoder, (plain, recap), sequences) for _ in range(repeats)]
        seconds = ([(one.steps, one.chains) for one in found] for found in zip(*runs, strict=True))
        table.rows.append(
            [
                sequences,
                *(spread(part) for found in seconds for part in zip(*found, strict=True)),
                spread(a.total / b.total for a, b in runs),
                everything,
                spread(a.steps / b.steps for a, b in runs),
                alone,
            ]
        )
        context.say(f"  {table.rows[-1]}")
    return table


def _in_turn(
    context: Context, decoder: MARDecoder, samplings: tuple[Sampling, Sampling], sequences: int
) -> tuple[Spent, Spent]:
    classes = decoder.config.num_classes
    crowds = [
        admit(decoder, [GenerationRequest("generate", at % classes, sampling, at) for at in range(sequences)])
        for sampling in samplings
    ]
    spent = (Spent(), Spent())
    for _ in range(crowds[0][0].plan.steps):
        for seqs, mine in zip(crowds, spent, strict=True):
            forward, *chains = step(context, decoder, seqs)
            mine.steps += forward.seconds
            mine.chains += sum(leg.seconds for leg in chains)
    for seqs in crowds:
        release(decoder, seqs)
    return spent
