"""The API's side of the queue: requests go in, events come out of Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError

from models.catalogue import Catalogue
from service.artefacts.base import Store
from service.dispatch.base import PLAIN, Health, Subscription, Terms
from service.dispatch.queue.jobs import QueueJobs
from service.dispatch.queue.reach import AWAY_SECONDS, reached, surely
from service.dispatch.queue.records import Entry, Opened, Records
from service.dispatch.queue.stream import Stream
from service.dispatch.queue.wire import event_bytes, ticket_bytes
from service.engine.batch import StepRecord
from service.engine.events import Event, Failed, Terminal
from service.engine.request import Draining, OtherBody, QueueAway, QueueFull, Ticket, UnknownModel

SILENCE_SECONDS = 10.0  # without an event, after which it is looked whether Redis still has the request
COUNT_SECONDS = 1.0  # between counts of what waits
DRAINED = 4  # the share of the waiting room, one in this many, after whose end it is worth coming back
SMOOTHING = 0.1  # of the measured seconds per request


class QueueDispatcher:
    """Requests run on whichever worker takes them. `submit` and the subscriptions belong to one event loop."""

    def __init__(self, redis: Redis, catalogue: Catalogue, store: Store, max_waiting: int, keep_seconds: int) -> None:
        self.redis, self.catalogue, self.store, self.max_waiting = redis, catalogue, store, max_waiting
        self.records = Records(redis, keep_seconds)
        self.jobs = self.ledger = QueueJobs(self.records, store)
        self.subscriptions: set[QueueSubscription] = set()
        self.pace = 1.0  # seconds between two requests that end, while some wait
        self._ended: int | None = None
        self._draining = False
        self._away_until = 0.0
        self._waiting = self._running = 0
        self._counted = 0.0
        self._counting: asyncio.Task[None] | None = None

    async def submit(self, ticket: Ticket, terms: Terms = PLAIN) -> Subscription:
        """Raises Refused."""
        if self._draining:
            raise Draining("the server is shutting down")
        if ticket.model not in self.catalogue.entries:
            raise UnknownModel(f"there is no model {ticket.model!r}")
        self._look()
        entry = self._entry(ticket, terms)
        try:
            async with reached():
                opened, run = await self.records.open(entry, self.max_waiting)
        except QueueAway:
            self._away_until = self.now() + AWAY_SECONDS
            raise
        if opened is Opened.OTHER:
            raise OtherBody
        if opened is Opened.FULL:
            raise QueueFull(min(60.0, max(1.0, self.pace * self.max_waiting / DRAINED)))
        subscription = QueueSubscription(self, ticket, entry, run)
        self.subscriptions.add(subscription)
        return subscription

    def _entry(self, ticket: Ticket, terms: Terms) -> Entry:
        return Entry(
            ticket.id,
            ticket.model,
            ticket.priority,
            ticket_bytes(ticket, lambda at: at - self.now() + time.time()),
            ticket.owner if terms.listed else None,
            terms.body,
            terms.kept,
            terms.note,
            terms.webhook,
        )

    def now(self) -> float:
        return time.monotonic()

    def watch(self, listener: Callable[[StepRecord], None]) -> None:
        """Batches run in workers; nothing is heard of them here."""

    def hear(self, listener: Callable[[Ticket, Event], None]) -> None:
        """As for `watch`."""

    def health(self) -> Health:
        """Counts are those of a moment ago."""
        self._look()
        away = self.now() < self._away_until
        detail = "the queue cannot be reached" if away else ""
        return Health(True, not self._draining and not away, self._running, self._waiting, detail)

    def _look(self) -> None:
        """Count again, if the last counts are old."""
        if self.now() - self._counted > COUNT_SECONDS and (self._counting is None or self._counting.done()):
            with suppress(RuntimeError):  # no event loop runs: nobody serves
                self._counting = asyncio.get_running_loop().create_task(self._count())

    async def _count(self) -> None:
        since, self._counted = self._counted, self.now()
        try:
            async with asyncio.timeout(AWAY_SECONDS):
                self._measure(await self.records.ended(), self._counted - since)
                self._waiting = await self.records.waiting(self.catalogue.entries)
                self._running = await self.records.running()
        except (RedisError, OSError, TimeoutError):
            self._away_until = self.now() + AWAY_SECONDS

    async def drain(self, timeout: float) -> None:
        """Refuse new requests; those that do not end in time stay in the queue, their clients are told to come back."""
        self._draining = True
        end = self.now() + timeout
        while self.subscriptions and self.now() < end:
            await asyncio.sleep(0.05)
        for subscription in list(self.subscriptions):
            subscription.leave()

    def _measure(self, ended: int, seconds: float) -> None:
        """How fast requests end, wherever they came in, while others wait."""
        if self._waiting and self._ended is not None and ended >= self._ended and seconds < 5 * COUNT_SECONDS:
            pace = min(60.0, seconds / max(1, ended - self._ended))
            self.pace += SMOOTHING * (pace - self.pace)
        self._ended = ended


class QueueSubscription:
    """The events of a request that came in here."""

    def __init__(self, dispatcher: QueueDispatcher, ticket: Ticket, entry: Entry, run: str) -> None:
        self._dispatcher, self._ticket, self._entry = dispatcher, ticket, entry
        self._stream = Stream(dispatcher.records, dispatcher.store, ticket.id, run, samples=ticket.request.n)
        self._over = self._left = False
        self._cancelling: asyncio.Task[None] | None = None

    async def __aiter__(self) -> AsyncIterator[Event]:
        heard = self._dispatcher.now()
        try:
            async for event in self._stream.read():
                now = self._dispatcher.now()
                if event is not None:
                    heard = now
                    self._over = isinstance(event, Terminal)
                    yield event
                elif self._late(now):
                    yield await self._give_up()
                    return
                elif now - heard > SILENCE_SECONDS:
                    if (end := await self._stream.end(lost=False)) is not None:
                        self._over = True
                        yield end
                        return
                    await surely(lambda: self._dispatcher.records.revive(self._entry, self._stream.run))
                    heard = now
                elif self._ticket.progress and (waiting := await self._stream.place()) is not None:
                    yield waiting
                if self._left and not self._over:
                    yield Failed(self._ticket.id, "draining", "the server is shutting down")
                    return
        finally:
            self.close()

    async def _give_up(self) -> Event:
        """For everybody who listens."""
        id = self._ticket.id
        failed = Failed(id, "deadline_exceeded", "the deadline passed")
        content, _ = event_bytes(failed)
        await surely(lambda: self._dispatcher.records.cancel(id, content))
        return failed

    def _late(self, now: float) -> bool:
        """Its worker would have said so a second ago, if it had one."""
        return self._ticket.deadline is not None and now > self._ticket.deadline + 1.0

    def leave(self) -> None:
        """Stop reading; the request goes on."""
        self._left = True

    def close(self) -> None:
        """Cancels, unless it is over, kept, or was left."""
        self._dispatcher.subscriptions.discard(self)
        if not self._over and not self._left and not self._entry.kept:
            self._over = True
            self._cancelling = asyncio.ensure_future(self._cancel())

    async def _cancel(self) -> None:
        failed, _ = event_bytes(Failed(self._ticket.id, "cancelled", "nobody listens"))
        with suppress(RedisError, OSError):
            await self._dispatcher.records.cancel(self._ticket.id, failed)
