"""Kept requests in this process's memory: what was told of each, for readers that come late or again."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import numpy as np
import structlog

from service.dispatch.base import Known, Page, Subscription, Terms
from service.dispatch.positions import POSITION
from service.engine.events import Event, Failed, Preview, Progress, SampleDone, Terminal, Waiting
from service.engine.request import OtherBody, Ticket
from service.webhooks.courier import Owed

log = structlog.get_logger()

LEASE_SECONDS = 60.0  # for one delivery
MAX_ENDED = 10_000
LEAST_SECONDS = 300.0
Start = Callable[[Ticket], Subscription]


@dataclass(eq=False)
class Journal:
    """The events of one request in order; Progress, Preview and Waiting only the newest per sample.

    run: its number, larger than that of any earlier one.
    """

    ticket: Ticket
    terms: Terms
    run: int
    created: float
    ended: float | None = None
    running: Subscription | None = None
    pump: "asyncio.Task[None] | None" = None
    events: dict[object, Event] = field(default_factory=dict)
    size: int = 0  # bytes of arrays
    _count: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, event: Event) -> None:
        self._count += 1
        key: object = self._count
        match event:
            case Progress() | Preview():
                key = (type(event), event.sample)
            case Waiting():
                key = Waiting
            case SampleDone():
                for kind in (Progress, Preview):
                    self.events.pop((kind, event.report.sample), None)
                arrays = (event.artifact.array, event.artifact.tokens, *event.artifact.extra.values())
                self.size += sum(one.nbytes for one in arrays if isinstance(one, np.ndarray))
        self.events.pop(key, None)
        self.events[key] = replace(event, at=f"{self.run}-{self._count}")
        self._changed.set()
        self._changed = asyncio.Event()

    def count(self, ticket: Ticket) -> None:
        """What the ticket takes in memory."""
        self.size += sum(one.nbytes for one in ticket.request.arrays)
        self.size += sum(map(len, (*ticket.states, self.terms.note)))

    async def read(self, position: str) -> AsyncIterator[Event]:
        """Behind a position of this run; another run's is none of ours."""
        run, _, number = position.partition("-")
        after = int(number) if run == str(self.run) else 0
        while True:
            changed = self._changed
            events = list(self.events.values())
            for event in events:
                count = int(event.at.partition("-")[2])
                if count <= after and not isinstance(event, Terminal):
                    continue
                after = count
                yield event
                if isinstance(event, Terminal):
                    return
            await changed.wait()


@dataclass
class JournalSubscription:
    """Leaves the request alone."""

    journal: Journal
    after: str = ""

    def __aiter__(self) -> AsyncIterator[Event]:
        return self.journal.read(self.after)

    def close(self) -> None: ...


class Journals:
    """Finished ones go after `keep_seconds` (five minutes at least), or when all their pictures together take more than
    `max_bytes`, the newest and those whose webhook is owed last. Implements Jobs and Ledger; used from one event loop.
    """

    def __init__(self, keep_seconds: float, max_bytes: int, now: Callable[[], float] = time.time) -> None:
        self._keep_seconds, self._max_bytes, self._now = max(LEAST_SECONDS, keep_seconds), max_bytes, now
        self._journals: dict[str, Journal] = {}
        self._ended: dict[str, None] = {}  # in order of their ends
        self._size = 0  # of these, in bytes
        self._run = 0
        self._owed: dict[str, tuple[float, int]] = {}  # id -> when it is due, tries
        self._secret = secrets.token_bytes(32)

    async def submit(self, ticket: Ticket, terms: Terms, start: Start) -> Subscription:
        """`start` runs it unless it is here. Raises Refused."""
        self._expire()
        journal = self._journals.get(ticket.id)
        if journal is not None and journal.terms.body != terms.body:
            raise OtherBody
        if journal is not None and terms.listed and not journal.terms.listed:
            journal.terms = replace(journal.terms, listed=True)
        if journal is None or _failed(journal):
            self._run = max(round(1000 * self._now()), self._run + 1)
            journal = Journal(ticket, terms, self._run, self._now())
            alone = replace(ticket, id=f"{ticket.id}#{journal.run}")  # an earlier run may not be gone yet
            journal.running = start(alone)
            journal.count(ticket)
            self._drop(ticket.id)
            self._journals[ticket.id] = journal
            journal.pump = asyncio.create_task(self._pump(journal, journal.running))
        return JournalSubscription(journal)

    async def _pump(self, journal: Journal, running: Subscription) -> None:
        try:
            async for event in running:
                journal.add(replace(event, request=journal.ticket.id))
        except Exception:
            log.exception("a kept request could not be followed", request=journal.ticket.id)
        finally:
            running.close()
            self._end(journal)

    def _end(self, journal: Journal) -> None:
        if not journal.events or not isinstance(next(reversed(journal.events.values())), Terminal):
            journal.add(Failed(journal.ticket.id))
        if journal.ended is None:
            journal.ended = self._now()
            self._ended[journal.ticket.id] = None
            self._size += journal.size
            if journal.terms.webhook:
                self._owed[journal.ticket.id] = journal.ended, 0

    def _expire(self) -> None:
        """The oldest first; who is owed a webhook only where there are too many."""
        while len(self._ended) > MAX_ENDED:
            self._drop(next(iter(self._ended)))
        while (id := next((id for id in self._ended if id not in self._owed), None)) is not None:
            crowded = self._size > self._max_bytes and len(self._ended) > 1
            if not crowded and self._ends(self._journals[id]) > self._now():
                return
            self._drop(id)

    def _drop(self, id: str) -> None:
        journal = self._journals.pop(id, None)
        self._owed.pop(id, None)
        if journal is not None and id in self._ended:
            del self._ended[id]
            self._size -= journal.size

    def _ends(self, journal: Journal) -> float:
        return (journal.ended or self._now()) + self._keep_seconds

    # -- Jobs

    async def find(self, id: str) -> Known | None:
        self._expire()
        journal = self._journals.get(id)
        if journal is None:
            return None
        expires = None if journal.ended is None else self._ends(journal)
        return Known(journal.ticket, journal.terms.note, journal.created, journal.ended, expires)

    async def told(self, id: str) -> list[Event]:
        journal = self._journals.get(id)
        return [] if journal is None else list(journal.events.values())

    async def sample(self, id: str, sample: int) -> SampleDone | None:
        made = (event for event in await self.told(id) if isinstance(event, SampleDone))
        return next((event for event in made if event.report.sample == sample), None)

    async def follow(self, id: str, after: str = "") -> Subscription:
        if after and not POSITION.fullmatch(after):
            raise ValueError(f"not a position: {after[:40]!r}")
        return JournalSubscription(self._journals[id], after)

    async def page(self, owner: str, after: str, limit: int, newest_first: bool) -> Page:
        self._expire()
        ids = [id for id, j in self._journals.items() if j.terms.listed and j.ticket.owner == owner]
        if newest_first:
            ids.reverse()
        if after:
            if after not in ids:
                raise KeyError(after)
            ids = ids[ids.index(after) + 1 :]
        return Page(ids[:limit], len(ids) > limit)

    async def cancel(self, id: str) -> None:
        journal = self._journals.get(id)
        if journal is not None and journal.ended is None and journal.pump is not None:
            journal.add(Failed(id, "cancelled", "the request was cancelled"))
            journal.pump.cancel()
            await asyncio.gather(journal.pump, return_exceptions=True)
            if journal.running is not None:
                journal.running.close()
            self._end(journal)  # also where the pump had not begun

    async def forget(self, id: str) -> None:
        if (journal := self._journals.get(id)) is not None and journal.ended is not None:
            self._drop(id)

    async def secret(self) -> bytes:
        return self._secret

    # -- Ledger

    async def owed(self, limit: int) -> list[Owed]:
        now = self._now()
        due = [(id, tries) for id, (at, tries) in self._owed.items() if at <= now][:limit]
        for id, tries in due:
            self._owed[id] = now + LEASE_SECONDS, tries + 1
        return [Owed(self._end_id(id), self._journals[id].terms.webhook, tries) for id, tries in due]

    def _end_id(self, id: str) -> str:
        """Of this end, as a request that runs again has another."""
        return f"{id}-{round(1000 * (self._journals[id].ended or 0))}"

    async def settled(self, id: str) -> None:
        if (which := self._which(id)) is not None:
            del self._owed[which]

    async def postponed(self, id: str, seconds: float) -> None:
        if (which := self._which(id)) is not None:
            self._owed[which] = self._now() + seconds, self._owed[which][1]

    def _which(self, end_id: str) -> str | None:
        """The request, unless it has ended once more by now."""
        id = end_id.rpartition("-")[0]
        return id if id in self._owed and self._end_id(id) == end_id else None


def _failed(journal: Journal) -> bool:
    return journal.ended is not None and any(isinstance(event, Failed) for event in journal.events.values())
