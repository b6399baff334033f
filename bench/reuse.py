"""Reuse steps (ReCAP) at the official size, random weights: time against their share of rows, and whole runs."""

from collections.abc import Sequence as Seq
from dataclasses import dataclass, field

from bench.context import Context
from bench.models import official_size
from bench.results import Table, spread
from bench.walk import admit, release, walk
from models.decoder import GenerationRequest, Sequence
from models.decoding.plan import Plan
from models.maskgit.decoder import MaskGITDecoder
from models.spec import Sampling

TITLE = "Reuse steps at the official size (194 M parameters, 256 tokens)"
STEPS, MANY = 16, 8
TARGETS = (8, 16, 36, 64, 100, 144)
PLAIN = Sampling(num_inference_steps=STEPS, schedule="cosine")
RECAP = Sampling(num_inference_steps=STEPS, schedule="cosine", reuse=1)


@dataclass
class Trace:
    """Seconds and rows of the steps of one run."""

    full: list[float] = field(default_factory=list)
    reuse: list[float] = field(default_factory=list)
    share: list[float] = field(default_factory=list)  # rows of each reuse step over those of a full one

    @property
    def total(self) -> float:
        return sum(self.full) + sum(self.reuse)

    @property
    def excess(self) -> float:
        """Time of all reuse steps over what their rows are worth."""
        mean = sum(self.full) / len(self.full)
        return sum(self.reuse) / (mean * sum(self.share))


def run(context: Context) -> None:
    decoder = official_size(context.device, context.dtype, "tiny" if context.quick else "autonat-l")
    _targets(context, decoder)
    table = Table(
        f"T={STEPS} steps, u=1: a whole run, steps only",
        ["sequences", "plain, s", "with reuse, s", "faster", "row bound", "reuse steps: time / share of rows"],
        note="Plain and reuse runs advance in turn, one step each. `row bound`: rows of the plain run over rows of the "
        "other, the gain if time were proportional to rows.",
    )
    for sequences in (1, 2) if context.quick else (1, MANY):
        repeats = 1 if sequences > 1 else min(3, context.repeats)
        runs = [_in_turn(context, decoder, sequences) for _ in range(repeats)]
        rows = decoder.config.length + 1
        bound = STEPS / (len(runs[0][1].full) + sum(runs[0][1].share))
        table.rows.append(
            [
                f"{sequences} x {rows} rows",
                spread([plain.total for plain, _ in runs]),
                spread([recap.total for _, recap in runs]),
                spread([plain.total / recap.total for plain, recap in runs]),
                bound,
                spread([recap.excess for _, recap in runs]),
            ]
        )
        context.say(f"  {sequences}: {table.rows[-1]}")
    context.add(table)


def _in_turn(context: Context, decoder: MaskGITDecoder, count: int) -> tuple[Trace, Trace]:
    plain, recap = Trace(), Trace()
    pairs = [(plain, _admit(decoder, PLAIN, count)), (recap, _admit(decoder, RECAP, count))]
    for _ in range(min(seq.plan.steps for _, seqs in pairs for seq in seqs)):
        for trace, seqs in pairs:
            _step(context, decoder, seqs, trace)
    for _, seqs in pairs:
        release(decoder, seqs)
    return plain, recap


def _targets(context: Context, decoder: MaskGITDecoder) -> None:
    """A group of one full and one reuse step by how many targets it has."""
    sequences, length = (2, decoder.config.length) if context.quick else (MANY, decoder.config.length)
    table = Table(
        f"One reuse step of {sequences} sequences",
        ["targets each", "share of rows", "full step, s", "reuse step, s", "time / share of rows"],
        note="Against a full step of the same sequences right before it.",
    )
    for targets in (t for t in TARGETS if t < length):
        plan = Plan(((targets // 2, targets - targets // 2), (length - targets,)))
        trace = Trace()
        for _ in range(min(3, context.repeats)):
            seqs = _admit(decoder, Sampling(), sequences, plan)
            for _ in range(2):
                _step(context, decoder, seqs, trace)
            release(decoder, seqs)
        excess = [r / f / s for r, f, s in zip(trace.reuse, trace.full, trace.share, strict=True)]
        table.rows.append([targets, trace.share[0], spread(trace.full), spread(trace.reuse), spread(excess)])
        context.say(f"  {targets} targets: {spread(excess)}")
    context.add(table)


def _admit(decoder: MaskGITDecoder, sampling: Sampling, count: int, plan: Plan | None = None) -> list[Sequence]:
    return admit(decoder, [GenerationRequest("generate", at, sampling, seed=at, plan=plan) for at in range(count)])


def _step(context: Context, decoder: MaskGITDecoder, seqs: Seq[Sequence], trace: Trace) -> None:
    leg = walk(context, decoder, seqs)
    (trace.full if leg.full else trace.reuse).append(leg.seconds)
    if not leg.full:
        trace.share.append(leg.work.rows / (decoder.config.length + 1))
