"""What the scheduler keeps about a request, its samples and their previews."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from models.decoder import Artifact, IterativeDecoder, Kind, Sequence, Work
from service.engine.events import Preview, Report
from service.engine.request import Ticket
from service.engine.saved import Saved

log = structlog.get_logger()


class Lane(NamedTuple):
    """Works of one lane share a forward. Urgent previews hold back the finish of their sample."""

    model: str
    kind: Kind
    key: Hashable
    urgent: bool = False


@dataclass(eq=False, slots=True)
class Job:
    """A request from its submission to its terminal event; `entries` are its unfinished samples."""

    ticket: Ticket
    number: int
    submitted: float
    urgency: float  # the deadline that orders it, own or implied
    admitted: float = 0.0
    memory: int = 0
    place: int = 0  # in the waiting room, as it was last told
    entries: list["Entry"] = field(default_factory=list)
    failure: tuple[str, str] | None = None  # code and message, once it is to fail

    def level(self, now: float, aging: float) -> int:
        """Priority after ageing; 0 runs first."""
        return max(0, self.ticket.priority - int((now - self.submitted) / aging))


@dataclass(eq=False, slots=True)
class Entry:
    """One sample and the next work it needs."""

    job: Job
    decoder: IterativeDecoder
    seq: Sequence
    work: Work = field(init=False)
    lane: Lane = field(init=False)
    since: float  # when its last step ended, or its first could begin
    step: int = 0  # steps that were committed
    full: bool = False  # its next work is a step that begins a group
    busy: bool = False  # in a batch that runs
    pace: float = 0.0  # measured seconds between its steps; 0 before the first
    shortened: bool = False
    resumed: int = 0  # steps that were done elsewhere
    partials: int = 0  # previews that were due so far
    partial: "Partial | None" = None  # the newest one that has not arrived

    def __post_init__(self) -> None:
        self.lane = Lane(self.job.ticket.model, Kind.STEP, None)  # until the decoder is asked

    @property
    def due(self) -> int:
        """How many of the P previews are due by now: number k at step ceil(k*S / (P+1))."""
        wanted = self.job.ticket.request.partials
        return min(wanted, self.seq.step * (wanted + 1) // self.seq.steps_total)

    def refresh(self) -> None:
        """Ask the decoder what comes next."""
        work = self.decoder.next_work(self.seq)
        assert work is not None, "a sequence's last work is its finish"
        self.work = work
        if work.kind is not self.lane.kind or work.lane != self.lane.key:
            self.lane = Lane(self.job.ticket.model, work.kind, work.lane)
        self.full = work.kind is Kind.STEP and self.decoder.at_boundary(self.seq)

    def snapshot(self) -> "Partial":
        work = self.decoder.preview_work(self.seq)
        return Partial(
            entry=self,
            snapshot=self.decoder.snapshot(self.seq),
            work=work,
            lane=Lane(self.job.ticket.model, work.kind, work.lane),
            index=self.due - 1,
            step=self.seq.step,
            steps_total=self.seq.steps_total,
            revealed=self.seq.revealed,
        )

    def report(self, fingerprint: str, now: float) -> Report:
        job, seq = self.job, self.seq
        return Report(
            model=job.ticket.model,
            checkpoint=self.decoder.spec.checkpoint,
            seed=job.ticket.request.seed,
            sample=seq.sample,
            plan=str(seq.plan),
            steps_full=seq.steps_full,
            steps_reuse=seq.steps_reuse,
            shortened=self.shortened,
            fingerprint=fingerprint,
            queue_seconds=job.admitted - job.submitted,
            run_seconds=now - job.admitted,
            tokens=seq.made,
            resumed_from_step=self.resumed,
        )

    def saved(self, fingerprint: str) -> bytes:
        """Its state, to go on from elsewhere; only between groups."""
        checkpoint, seq = self.decoder.spec.checkpoint, self.seq
        return Saved(fingerprint, checkpoint, seq.step, self.shortened, self.decoder.save(seq)).pack()


@dataclass(eq=False, slots=True)
class Partial:
    """A preview that is due: a snapshot, so that decoding goes on."""

    entry: Entry
    snapshot: object
    work: Work
    lane: Lane
    index: int
    step: int
    steps_total: int
    revealed: float
    busy: bool = False

    @property
    def job(self) -> Job:
        return self.entry.job

    def event(self, artifact: Artifact) -> Preview:
        return Preview(
            self.job.ticket.id,
            self.entry.seq.sample,
            self.index,
            self.step,
            self.steps_total,
            self.revealed,
            artifact,
        )


Item = Entry | Partial


def admitted(decoder: IterativeDecoder, ticket: Ticket, fingerprint: str) -> list[tuple[Sequence, bool]]:
    """The ticket's samples, and whether their plans were shortened before; a failure leaves nothing behind.

    States of other numerics or weights are not gone on from: these samples start over. Raises ValueError where there
    are no samples, or a state is damaged.
    """
    states = [Saved.unpack(state) for state in ticket.states]
    if not states or not all(saved.fits(fingerprint, decoder.spec.checkpoint) for saved in states):
        if states:
            log.warning("starting over: the states are of another numerics or checkpoint", request=ticket.id)
        if fresh := decoder.admit(ticket.request):
            return [(seq, False) for seq in fresh]
        raise ValueError("a request makes at least one sample")
    resumed: list[tuple[Sequence, bool]] = []
    try:
        for sample, saved in enumerate(states):
            resumed.append((decoder.restore(ticket.request, sample, saved.state), saved.shortened))
    except Exception:
        for seq, _ in resumed:
            decoder.release(seq)
        raise
    return resumed
