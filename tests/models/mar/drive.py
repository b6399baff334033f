"""Runs sequences without an engine."""

from collections.abc import Sequence as Seq
from dataclasses import replace
from random import Random

from models.decoder import GenerationRequest, Kind
from models.mar.decoder import MARDecoder
from models.mar.sequence import MARSequence


def admit(decoder: MARDecoder, *requests: GenerationRequest) -> list[MARSequence]:
    return [seq for request in requests for seq in decoder.admit(request)]  # type: ignore[misc]


def step(decoder: MARDecoder, seqs: Seq[MARSequence]) -> None:
    """One step of every sequence, wherever it stands: one forward, then their chains side by side."""
    work = decoder.next_work(seqs[0])
    assert work is not None and work.kind is Kind.STEP
    decoder.run(work, seqs)
    while chained := [seq for seq in seqs if seq.chain is not None]:
        works = [decoder.next_work(seq) for seq in chained]
        times = min(work.times for work in works if work is not None)
        decoder.run(replace(works[0], times=times), chained)  # type: ignore[type-var]


def run(decoder: MARDecoder, seqs: Seq[MARSequence]) -> None:
    """To the last step, all in shared ones."""
    while running := [seq for seq in seqs if seq.step < seq.plan.steps]:
        step(decoder, running)


def jumble(decoder: MARDecoder, waiting: list[MARSequence], rng: Random) -> tuple[int, int]:
    """To the last step, in batches of any kind, arriving one after the other.

    How many batches of steps held several sequences, and how many chains were joined when they had begun.
    """
    running: list[MARSequence] = []
    shared = joined = 0
    while waiting or running:
        running += [waiting.pop() for _ in range(min(rng.randint(0, 3), len(waiting)))]
        lanes: dict[Kind, list[MARSequence]] = {}
        for seq in running:
            work = decoder.next_work(seq)
            assert work is not None
            lanes.setdefault(work.kind, []).append(seq)
        running = [seq for seq in running if seq not in lanes.get(Kind.FINISH, [])]
        kinds = [kind for kind in lanes if kind is not Kind.FINISH]
        if not kinds:
            continue
        lane = lanes[rng.choice(kinds)]
        batch = rng.sample(lane, rng.randint(1, len(lane)))
        works = [decoder.next_work(seq) for seq in batch]
        times = rng.randint(1, min(work.times for work in works if work is not None))
        shared += works[0].kind is Kind.STEP and len(batch) > 1  # type: ignore[union-attr]
        joined += len({seq.chain.done for seq in batch if seq.chain is not None}) > 1
        decoder.run(replace(works[0], times=times), batch)  # type: ignore[type-var]
    return shared, joined
