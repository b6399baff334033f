"""The scheduler: which samples advance next. Pure: no clock, no threads, no torch.

    scheduler.submit(ticket, now)
    while (batch := scheduler.plan(now)):
        ...run it...
        scheduler.commit(batch, elapsed, now, artifacts)
        publish(scheduler.take_events())

Every batch that `plan` gave out comes back, whole or in parts, by `commit`, `fail` or `shrink`.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Seq
from contextlib import contextmanager
from dataclasses import replace

import structlog

from models.decoder import Artifact, IterativeDecoder, Kind
from service.engine.alarms import Alarms
from service.engine.batch import Batch, StepRecord
from service.engine.cost import CostModel
from service.engine.entry import Entry, Item, Job, Partial, admitted
from service.engine.events import Done, Event, Failed, Progress, SampleDone, Saved, Started, Terminal
from service.engine.lanes import Lanes
from service.engine.pace import Pace
from service.engine.policy import Policy
from service.engine.request import DoesNotFit, Ticket
from service.engine.waiting import DrainRate, WaitingRoom

log = structlog.get_logger()


class StepScheduler:
    def __init__(self, policy: Policy, fingerprint: str = "") -> None:
        self.policy = policy
        self.fingerprint = fingerprint
        self.log: deque[StepRecord] = deque(maxlen=policy.log_size)
        self.memory = 0  # bytes reserved
        self._decoders: dict[str, IterativeDecoder] = {}
        self._room = WaitingRoom(policy)
        self._running: dict[str, Job] = {}
        self._costs = CostModel(policy.row_seconds)
        self._lanes = Lanes(policy, self._costs)
        self._pace = Pace(self._costs)
        self._drain = DrainRate(policy)
        self._alarms = Alarms()
        self._owners: Counter[str] = Counter()  # running samples
        self._outbox: list[Event] = []
        self._submitted = 0
        self._settled = False  # nothing changed since nobody could be admitted

    # -- what runs

    @property
    def running(self) -> int:
        """Admitted requests."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._room)

    @property
    def sequences(self) -> int:
        """Admitted samples that are not finished."""
        return self._owners.total()

    def next_deadline(self) -> float | None:
        """When `plan` must be called though nothing else happens."""
        return self._alarms.next(self._job)

    def take_events(self) -> list[Event]:
        """What happened since the last call, in order."""
        events, self._outbox = self._outbox, []
        return events

    # -- models

    def add_model(self, model: str, decoder: IterativeDecoder, now: float) -> None:
        """Its waiting tickets may run from now on."""
        self._decoders[model] = decoder
        self._settled = False
        for job in [job for job in self._room if job.ticket.model == model]:
            with self._asking(job, now):
                job.memory = decoder.memory(job.ticket.request)
                if job.memory > self.policy.memory_budget:
                    self._doom(job, "invalid_value", self.policy.too_large(job.memory), now)

    def fail_model(self, model: str, message: str, now: float) -> None:
        """It could not be loaded."""
        for job in [job for job in self._room if job.ticket.model == model]:
            self._doom(job, "model_unavailable", message, now)

    # -- requests

    def submit(self, ticket: Ticket, now: float) -> None:
        """Raises QueueFull, and DoesNotFit if the loaded model needs more memory than there is."""
        memory = 0
        decoder = self._decoders.get(ticket.model)
        if decoder is not None:
            memory = decoder.memory(ticket.request)
            if memory > self.policy.memory_budget:
                raise DoesNotFit(self.policy.too_large(memory))
        if self._job(ticket.id):
            raise ValueError(f"a request {ticket.id!r} is already here")
        if self._room.full:
            raise self._drain.refusal(now)
        if not self._running and not self._room:
            self._drain.restart(now)
        self._submitted += 1
        patience = now + self.policy.patience
        urgency = patience if ticket.deadline is None else min(ticket.deadline, patience)
        self._room.add(Job(ticket, self._submitted, now, urgency, memory=memory))
        if ticket.deadline is not None:
            self._alarms.set(ticket.deadline, ticket.id)
        self._settled = False

    def cancel(self, ticket_id: str, now: float) -> None:
        """At once, but for samples in the batch that runs: these end with its commit."""
        if job := self._job(ticket_id):
            self._doom(job, "cancelled", "the request was cancelled", now)

    def fail_all(self, code: str, message: str, now: float) -> None:
        """End every request."""
        for job in (*self._room, *self._running.values()):
            self._doom(job, code, message, now)

    # -- the turn

    def plan(self, now: float) -> Batch | None:
        """Expire, admit, shorten what would be late, and choose the next batch."""
        self._expire(now)
        self._admit(now)
        self._hurry(now)
        lane = self._lanes.choose(now, alone=len(self._running) == 1)
        if lane is None:
            return None
        items = self._lanes.take(lane, now)
        for item in items:
            item.busy = True
        rows = sum(item.work.rows for item in items)
        work = replace(items[0].work, rows=rows, times=self._lanes.times(lane, items, rows))
        predicted = self._costs.predict(lane, rows) * work.times
        return Batch(lane, self._decoders[lane.model], items, work, predicted)

    def commit(self, batch: Batch, elapsed: float, now: float, artifacts: Seq[Artifact] = ()) -> None:
        """The batch, or a part of one, ran in `elapsed` seconds.

        `artifacts`: the results of PREVIEW and FINISH, in the batch's order.
        """
        self._account(batch, elapsed, now)
        for item in batch.entries:
            item.busy = False
        results = dict(zip(batch.entries, artifacts, strict=True)) if artifacts else {}
        for item in batch.entries:
            if item.job.failure is None:
                try:
                    self._ran(item, results.get(item), now)
                except Exception:
                    self._refuse(item.job, now)
        self._bury(batch.entries, now)

    def fail(self, entries: Iterable[Item], code: str, message: str, now: float) -> None:
        """The requests of these entries fail, the others are untouched."""
        entries = tuple(entries)
        for item in entries:
            item.busy = False
            if isinstance(item, Partial):  # a preview may be dropped
                with self._asking(item.job, now):
                    self._dropped(item)
        for job in {item.job: None for item in entries if isinstance(item, Entry)}:
            if job.entries:  # else it ended with an earlier part of the batch
                self._doom(job, code, message, now)
        self._bury(entries, now)

    def shrink(self, batch: Batch, now: float) -> None:
        """The batch ran out of memory: put it back, its lane runs half as many rows from now on."""
        self._lanes.halve(batch.lane, batch.rows)
        for item in batch.entries:
            item.busy = False
            if item.job.failure is None:
                self._lanes.join(item)
        self._bury(batch.entries, now)

    # -- admission

    def _admit(self, now: float) -> None:
        if self._settled:
            return
        while job := self._room.next(now, self._fits, self._owners):
            self._start(job, now)
        self._settled = True
        self._outbox += self._room.moved(now, self._owners)

    def _fits(self, job: Job) -> bool | None:
        if job.ticket.model not in self._decoders:
            return None
        held = self.sequences
        return self.memory + job.memory <= self.policy.memory_budget and (
            held == 0 or held + job.ticket.request.n <= self.policy.max_sequences
        )

    def _start(self, job: Job, now: float) -> None:
        ticket, decoder = job.ticket, self._decoders[job.ticket.model]
        try:
            sequences = admitted(decoder, ticket, self.fingerprint)
        except ValueError as error:
            self._end(job, Failed.refusing(ticket.id, error), now)
            return
        except Exception:
            log.exception("a request could not be admitted", model=ticket.model)
            self._end(job, Failed(ticket.id, "internal_error", "this request could not be prepared"), now)
            return
        job.admitted = now
        self._running[ticket.id] = job
        self._outbox.append(Started(ticket.id, len(sequences)))
        self.memory += job.memory
        self._owners[ticket.owner] += len(sequences)
        job.entries = [
            Entry(job, decoder, seq, since=now, step=seq.step, resumed=seq.step, shortened=shortened)
            for seq, shortened in sequences
        ]
        shed = ticket.allow_fewer_steps and self._room.crowded
        with self._asking(job, now):
            for entry in job.entries:
                entry.refresh()
                entry.partials = entry.due
                if shed:
                    low = decoder.spec.quality.get("low", decoder.spec.min_steps)
                    self._shorten(entry, low - entry.seq.step)
                self._save(entry)
                self._route(entry)

    # -- deadlines

    def _expire(self, now: float) -> None:
        for ticket_id in self._alarms.due(now):
            if job := self._job(ticket_id):
                self._doom(job, "deadline_exceeded", "the deadline passed", now)

    def _hurry(self, now: float) -> None:
        """Shorten the plans that would miss their deadline, where that is allowed."""
        for job in tuple(self._running.values()):
            ticket = job.ticket
            if ticket.deadline is None or not ticket.allow_fewer_steps or job.failure is not None:
                continue
            for entry in job.entries:
                if entry.busy or not entry.full:
                    continue
                lane = self._lanes.ready(entry.lane)
                cap = self._lanes.rows_cap(entry.lane)
                left = self._pace.steps_within(entry, ticket.deadline - now, lane, cap)
                if left < entry.seq.steps_total - entry.seq.step:
                    self._lanes.leave(entry)
                    with self._asking(job, now):
                        self._shorten(entry, left)
                        self._route(entry)

    def _shorten(self, entry: Entry, steps_left: int) -> None:
        seq, decoder = entry.seq, entry.decoder
        steps_left = max(steps_left, decoder.spec.min_steps - seq.step, 1)
        steps = seq.steps_total
        if steps_left < steps - seq.step and decoder.at_boundary(seq):
            decoder.shorten(seq, steps_left)
            entry.shortened = entry.shortened or seq.steps_total != steps

    # -- progress

    def _route(self, entry: Entry) -> None:
        """Into the lane of its next work; a finish waits for the sample's due preview."""
        entry.refresh()
        partial = entry.partial
        if entry.work.kind is not Kind.FINISH or partial is None:
            self._lanes.join(entry)
        elif not partial.busy:
            self._lanes.leave(partial)
            partial.lane = partial.lane._replace(urgent=True)
            self._lanes.join(partial)

    def _ran(self, item: Item, artifact: Artifact | None, now: float) -> None:
        if artifact is None:
            assert isinstance(item, Entry)
            self._advanced(item, now)
        elif isinstance(item, Partial):
            self._previewed(item, artifact)
        else:
            self._finished(item, artifact, now)

    def _advanced(self, entry: Entry, now: float) -> None:
        seq, ticket = entry.seq, entry.job.ticket
        if steps := seq.step - entry.step:
            entry.step = seq.step
            self._pace.stepped(entry, steps, now)
            if ticket.progress:
                self._outbox.append(Progress(ticket.id, seq.sample, seq.step, seq.steps_total, seq.revealed))
            if entry.due > entry.partials and seq.step < seq.steps_total:
                self._look(entry)
            self._save(entry)
        elif entry.lane.kind in (Kind.ENCODE, Kind.START):
            entry.since = now  # what comes before a step says nothing of how fast steps are
        self._route(entry)

    def _save(self, entry: Entry) -> None:
        ticket, seq = entry.job.ticket, entry.seq
        if ticket.save and entry.decoder.at_boundary(seq):
            self._outbox.append(Saved(ticket.id, seq.sample, seq.step, entry.saved(self.fingerprint)))

    def _look(self, entry: Entry) -> None:
        """A preview is due; an older one that has not run is dropped."""
        if entry.partial is not None and not entry.partial.busy:
            self._lanes.leave(entry.partial)
        entry.partials = entry.due
        entry.partial = entry.snapshot()
        self._lanes.join(entry.partial)

    def _previewed(self, partial: Partial, artifact: Artifact) -> None:
        self._outbox.append(partial.event(artifact))
        self._dropped(partial)

    def _dropped(self, partial: Partial) -> None:
        """It arrived, or never will: what waited for it goes on."""
        entry = partial.entry
        if entry.partial is partial and entry in entry.job.entries:
            entry.partial = None
            if entry.work.kind is Kind.FINISH:
                self._route(entry)

    def _finished(self, entry: Entry, artifact: Artifact, now: float) -> None:
        job = entry.job
        report = entry.report(self.fingerprint, now)
        self._outbox.append(SampleDone(job.ticket.id, artifact, report))
        self._release(entry)
        if not job.entries:
            queued, ran = job.admitted - job.submitted, now - job.admitted
            self._end(job, Done(job.ticket.id, queued, ran), now)

    # -- endings

    def _doom(self, job: Job, code: str, message: str, now: float) -> None:
        """End a request without a result; what is in the running batch ends with its commit."""
        job.failure = job.failure or (code, message)
        for entry in [entry for entry in job.entries if not entry.busy]:
            self._release(entry)
        if not job.entries:
            self._end(job, Failed(job.ticket.id, *job.failure), now)

    def _bury(self, items: Iterable[Item], now: float) -> None:
        for job in {item.job: None for item in items}:
            if job.failure is not None and job.entries:
                self._doom(job, *job.failure, now)

    def _release(self, entry: Entry) -> None:
        if not entry.busy:
            self._lanes.leave(entry)
        if entry.partial is not None and not entry.partial.busy:
            self._lanes.leave(entry.partial)
        entry.job.entries.remove(entry)
        owner = entry.job.ticket.owner
        self._owners[owner] -= 1
        if not self._owners[owner]:
            del self._owners[owner]
        self._settled = False
        try:
            entry.decoder.release(entry.seq)
        except Exception:
            log.exception("a sequence could not be released", model=entry.job.ticket.model)

    def _end(self, job: Job, event: Terminal, now: float) -> None:
        self._room.pop(job.ticket.id)
        if self._running.pop(job.ticket.id, None):
            self.memory -= job.memory
            self._drain.ended(now)
        self._settled = False
        self._outbox.append(event)

    # -- helpers

    @contextmanager
    def _asking(self, job: Job, now: float) -> Iterator[None]:
        """Around what a decoder is asked on behalf of `job`: its failure ends that request, not the engine."""
        try:
            yield
        except Exception:
            self._refuse(job, now)

    def _refuse(self, job: Job, now: float) -> None:
        log.exception("a decoder failed in its books", model=job.ticket.model)
        self._doom(job, "internal_error", "a step failed; other requests are not affected", now)

    def _account(self, batch: Batch, elapsed: float, now: float) -> None:
        self._costs.observe(batch.lane, batch.rows, elapsed / batch.work.times)
        self._lanes.charge(batch.lane, batch.entries, batch.rows, elapsed)
        if batch.kind is Kind.FINISH:
            self._pace.finished(batch.model, len(batch.entries), elapsed)
        self.log.append(batch.record(elapsed, now))

    def _job(self, ticket_id: str) -> Job | None:
        return self._running.get(ticket_id) or self._room.get(ticket_id)
