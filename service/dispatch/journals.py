"""Kept requests in this process's memory: what was told of each, for readers that come late or again."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import structlog

from service.dispatch.base import Known, Page, Subscription, Terms
from service.engine.events import Event, Failed, Preview, Progress, SampleDone, Terminal, Waiting
from service.engine.request import OtherBody, Ticket
from service.webhooks.courier import Owed

log = structlog.get_logger()

LEASE_SECONDS = 60.0  # for one delivery
MAX_ENDED = 10_000
Start = Callable[[Ticket], Subscription]


@dataclass(eq=False)
class Journal:
    """The events of one request in order; Progress, Preview and Waiting only the newest per sample."""

    ticket: Ticket
    terms: Terms
    created: float
    ended: float | None = None
    pump: "asyncio.Task[None] | None" = None
    events: dict[object, Event] = field(default_factory=dict)
    size: int = 0  # bytes of pictures
    _count: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, event: Event) -> None:
        self._count += 1
        key: object = self._count
        if isinstance(event, Progress | Preview):
            key = (type(event), event.sample)
        elif isinstance(event, Waiting):
            key = Waiting
        self.events.pop(key, None)
        self.events[key] = replace(event, at=str(self._count))
        if isinstance(event, SampleDone):
            self.size += event.artifact.array.nbytes + event.artifact.tokens.nbytes
        self._changed.set()
        self._changed = asyncio.Event()

    async def read(self, after: int) -> AsyncIterator[Event]:
        while True:
            changed = self._changed
            events = list(self.events.values())
            for event in events:
                if int(event.at) <= after and not isinstance(event, Terminal):
                    continue
                after = int(event.at)
                yield event
                if isinstance(event, Terminal):
                    return
            await changed.wait()


@dataclass
class JournalSubscription:
    """Leaves the request alone."""

    journal: Journal
    after: int = 0

    def __aiter__(self) -> AsyncIterator[Event]:
        return self.journal.read(self.after)

    def close(self) -> None: ...


class Journals:
    """Finished ones go after `keep_seconds`, or when all their pictures together take more than `max_bytes`. Implements
    Jobs and Ledger; used from one event loop.
    """

    def __init__(self, keep_seconds: float, max_bytes: int, now: Callable[[], float] = time.time) -> None:
        self._keep_seconds, self._max_bytes, self._now = keep_seconds, max_bytes, now
        self._journals: dict[str, Journal] = {}
        self._owed: dict[str, tuple[float, int]] = {}  # id -> when it is due, tries
        self._secret = secrets.token_bytes(32)

    async def submit(self, ticket: Ticket, terms: Terms, start: Start) -> Subscription:
        """`start` runs it unless it is here. Raises Refused."""
        self._expire()
        journal = self._journals.get(ticket.id)
        if journal is not None and journal.terms.body != terms.body:
            raise OtherBody
        if journal is None or _failed(journal):
            journal = Journal(ticket, terms, self._now())
            running = start(ticket)
            self._journals.pop(ticket.id, None)
            self._owed.pop(ticket.id, None)
            self._journals[ticket.id] = journal
            journal.pump = asyncio.create_task(self._pump(journal, running))
        return JournalSubscription(journal)

    async def _pump(self, journal: Journal, running: Subscription) -> None:
        try:
            async for event in running:
                journal.add(event)
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
            if journal.terms.webhook:
                self._owed[journal.ticket.id] = journal.ended, 0

    def _expire(self) -> None:
        """The oldest first."""
        ended = [id for id, journal in self._journals.items() if journal.ended is not None]
        size = sum(self._journals[id].size for id in ended)
        for at, id in enumerate(ended):
            journal = self._journals[id]
            over = self._ends(journal) <= self._now() and id not in self._owed
            if over or size > self._max_bytes or len(ended) - at > MAX_ENDED:
                size -= journal.size
                del self._journals[id]
                self._owed.pop(id, None)

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
        return JournalSubscription(self._journals[id], int(after or 0))

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

    async def forget(self, id: str) -> None:
        if (journal := self._journals.get(id)) is not None and journal.ended is not None:
            del self._journals[id]
            self._owed.pop(id, None)

    async def secret(self) -> bytes:
        return self._secret

    # -- Ledger

    async def owed(self, limit: int) -> list[Owed]:
        now = self._now()
        due = [(id, tries) for id, (at, tries) in self._owed.items() if at <= now][:limit]
        for id, tries in due:
            self._owed[id] = now + LEASE_SECONDS, tries + 1
        return [Owed(id, self._journals[id].terms.webhook, tries) for id, tries in due]

    async def settled(self, id: str) -> None:
        self._owed.pop(id, None)

    async def postponed(self, id: str, seconds: float) -> None:
        if id in self._owed:
            self._owed[id] = self._now() + seconds, self._owed[id][1]


def _failed(journal: Journal) -> bool:
    return journal.ended is not None and any(isinstance(event, Failed) for event in journal.events.values())
