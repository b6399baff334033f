"""Sequences of one plan that move on together, without an engine, and what each of their works takes."""

from collections.abc import Sequence as Seq
from dataclasses import dataclass

from bench.context import Context
from models.decoder import GenerationRequest, IterativeDecoder, Kind, Sequence, Work


@dataclass(frozen=True)
class Leg:
    """work: of one of the sequences, whole; full: it begins a group."""

    work: Work
    full: bool
    seconds: float


def admit(decoder: IterativeDecoder, requests: Seq[GenerationRequest]) -> list[Sequence]:
    return [seq for request in requests for seq in decoder.admit(request)]


def release(decoder: IterativeDecoder, seqs: Seq[Sequence]) -> None:
    for seq in seqs:
        decoder.release(seq)


def walk(context: Context, decoder: IterativeDecoder, seqs: Seq[Sequence]) -> Leg:
    """The next work of all, at once."""
    work = decoder.next_work(seqs[0])
    assert work is not None
    full = decoder.at_boundary(seqs[0])
    return Leg(work, full, context.timed(lambda: decoder.run(work, seqs)))


def step(context: Context, decoder: IterativeDecoder, seqs: Seq[Sequence]) -> list[Leg]:
    """The works of the next step: it, and where tokens are made by diffusion, their chains."""
    legs = [walk(context, decoder, seqs)]
    while (work := decoder.next_work(seqs[0])) and work.kind is Kind.CHAIN:
        legs.append(walk(context, decoder, seqs))
    return legs
