"""Full steps, reuse steps (ReCAP) and reverse steps at the official size, random weights, alone and together."""

from dataclasses import replace

from bench.context import Context
from bench.mar.group import run_group
from bench.mar.models import GUIDANCE, large_checkpoint, load
from bench.mar.rows import Price, rows_of_step
from bench.results import Table, spread
from models.decoding.plan import Plan
from models.mar.decoder import MARDecoder
from models.spec import Sampling

TITLE = "MAR: reuse steps at the official size (MAR-B, 256 tokens, random weights)"
SEQUENCES, TOKENS = (1, 8), (1, 4, 16, 64)
SAMPLING = Sampling(guidance_scale=GUIDANCE, diffusion_steps=10)
NOTE = (
    "A group of one full and one reuse step, guided, half of the tokens known, as many revealed by each of the two. "
    "Share: multiply-adds of the reuse step's rows in the linear layers of both stacks over those of the full step's, "
    "which its time would be if it were proportional to them. Kept buffer: the class rows are not computed anew. "
    "Reverse step: one forward of the head for these tokens, with all that belongs to it."
)


def run(context: Context) -> None:
    with large_checkpoint(context.quick) as directory:
        decoder = load(directory, context.device, context.dtype)
        for sequences in SEQUENCES:
            context.add(_table(context, decoder, sequences))


def _table(context: Context, decoder: MARDecoder, sequences: int) -> Table:
    config = decoder.config
    price, unknown = Price.of(config), config.length // 2
    table = Table(
        f"{sequences} sequence{'s' if sequences > 1 else ''} of {config.slots} rows per branch",
        [
            "tokens each", "full step, s", "reuse step, s", "share", "time / share", "kept buffer, s", "share",
            "time / share", "reverse step, ms",
        ],
        note=NOTE,
    )  # fmt: skip
    for tokens in (n for n in TOKENS if 2 * n <= unknown):
        rest = unknown - 2 * tokens
        plan = Plan(((tokens, tokens), (rest,)) if rest else ((tokens, tokens),))
        ways = [replace(SAMPLING, reuse_buffer=kept) for kept in (False, True)]
        found = [
            [run_group(context, decoder, sampling, plan, sequences) for sampling in ways]
            for _ in range(min(3, context.repeats))
        ]
        cells = []
        for at, sampling in enumerate(ways):
            full, reuse = (price.stacks(rows_of_step(config, plan, sampling, step)) for step in (0, 1))
            groups = [pair[at] for pair in found]
            cells += [
                spread(group.reuse for group in groups),
                reuse / full,
                spread(group.reuse / group.full * full / reuse for group in groups),
            ]
        groups = [group for pair in found for group in pair]
        table.rows.append(
            [
                tokens,
                spread(group.full for group in groups),
                *cells,
                spread(1000 * group.reverse for group in groups),
            ]
        )
        context.say(f"  {sequences} x {tokens}: {table.rows[-1]}")
    return table
