"""The API's side of the queue: requests go in, events come out of Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from models.catalogue import Catalogue
from service.artefacts.base import Store, StoreAway
from service.dispatch.base import Health, Subscription
from service.dispatch.queue.records import Records
from service.dispatch.queue.wire import read_artifact, read_event, ticket_bytes
from service.engine.batch import StepRecord
from service.engine.events import Done, Event, Failed, Preview, SampleDone, Terminal
from service.engine.request import Draining, QueueAway, QueueFull, Ticket, UnknownModel

log = structlog.get_logger()

T = TypeVar("T")

AWAY_SECONDS = 2.0  # how long a new request waits for Redis, and how long it counts as away after a failure
LOST_SECONDS = 60.0  # how long a running one waits
SILENCE_SECONDS = 10.0  # without an event, after which it is looked whether Redis still has the request
COUNT_SECONDS = 1.0  # between counts of what waits
SMOOTHING = 0.1  # of the measured seconds per request
GONE = (RedisError, OSError, StoreAway)


class QueueDispatcher:
    """Requests run on whichever worker takes them. `submit` and the subscriptions belong to one event loop."""

    def __init__(self, redis: Redis, catalogue: Catalogue, store: Store, max_waiting: int, keep_seconds: int) -> None:
        self.redis, self.catalogue, self.store, self.max_waiting = redis, catalogue, store, max_waiting
        self.records = Records(redis, keep_seconds)
        self.subscriptions: dict[str, QueueSubscription] = {}
        self.pace = 1.0  # seconds between two requests that end, while some wait
        self._ended = 0.0
        self._draining = False
        self._away_until = 0.0
        self._waiting = self._running = 0
        self._counted = 0.0
        self._counting: asyncio.Task[None] | None = None

    async def submit(self, ticket: Ticket) -> Subscription:
        """Raises Refused."""
        if self._draining:
            raise Draining("the server is shutting down")
        if ticket.model not in self.catalogue.entries:
            raise UnknownModel(f"there is no model {ticket.model!r}")
        content = ticket_bytes(ticket, lambda at: at - self.now() + time.time())
        try:
            async with asyncio.timeout(AWAY_SECONDS):
                taken = await self.records.open(ticket.id, content, ticket.model, ticket.priority, self.max_waiting)
        except (RedisError, OSError, TimeoutError) as error:
            self._away_until = self.now() + AWAY_SECONDS
            log.error("the queue cannot be reached", why=str(error) or type(error).__name__)
            raise QueueAway("the queue cannot be reached; try again soon") from None
        if not taken:
            raise QueueFull(max(1.0, self.pace * self.max_waiting))
        subscription = self.subscriptions[ticket.id] = QueueSubscription(self, ticket, content)
        return subscription

    def cancel(self, ticket_id: str) -> None:
        if subscription := self.subscriptions.get(ticket_id):
            subscription.close()

    def now(self) -> float:
        return time.monotonic()

    def watch(self, listener: Callable[[StepRecord], None]) -> None:
        """Batches run in workers; nothing is heard of them here."""

    def health(self) -> Health:
        """Counts are those of a moment ago."""
        if self.now() - self._counted > COUNT_SECONDS and (self._counting is None or self._counting.done()):
            with suppress(RuntimeError):  # no event loop runs: nobody serves
                self._counting = asyncio.get_running_loop().create_task(self._count())
        away = self.now() < self._away_until
        detail = "the queue cannot be reached" if away else ""
        return Health(True, not self._draining and not away, self._running, self._waiting, detail)

    async def _count(self) -> None:
        self._counted = self.now()
        try:
            async with asyncio.timeout(AWAY_SECONDS):
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
        for subscription in list(self.subscriptions.values()):
            subscription.leave()

    def ended(self, id: str) -> None:
        """A request is over: measure how fast they go while others wait."""
        if self.subscriptions.pop(id, None) is None:
            return
        now = self.now()
        if self._ended and self._waiting:
            self.pace += SMOOTHING * (min(60.0, now - self._ended) - self.pace)
        self._ended = now


class QueueSubscription:
    """The events of one request, read from its stream; an interrupted connection is taken up again."""

    def __init__(self, dispatcher: QueueDispatcher, ticket: Ticket, content: bytes, after: str = "0") -> None:
        self._dispatcher, self._ticket, self._content, self._after = dispatcher, ticket, content, after
        self._over = self._left = False
        self._cancelling: asyncio.Task[None] | None = None

    async def __aiter__(self) -> AsyncIterator[Event]:
        seen: set[int] = set()
        heard = self._dispatcher.now()
        try:
            while not self._over and not self._left:
                entries = await self._surely(lambda: self._dispatcher.records.events(self._ticket.id, self._after))
                if entries is None:
                    yield Failed(self._ticket.id, "internal_error", "the queue is gone")
                    return
                now = self._dispatcher.now()
                if self._ticket.deadline is not None and not entries and now > self._ticket.deadline + 1.0:
                    yield Failed(self._ticket.id, "deadline_exceeded", "the deadline passed")
                    return
                if entries:
                    heard = now
                elif now - heard > SILENCE_SECONDS:
                    await self._surely(self._revive)
                    heard = now
                for at, content in entries:
                    self._after = at
                    for event in await self._told(content, seen):
                        self._over = isinstance(event, Terminal)
                        yield event
                        if self._over:
                            return
            if self._left and not self._over:
                yield Failed(self._ticket.id, "draining", "the server is shutting down")
        finally:
            self.close()

    async def _revive(self) -> bool:
        ticket = self._ticket
        await self._dispatcher.records.revive(ticket.id, self._content, ticket.model, ticket.priority)
        return True

    async def _told(self, content: bytes, seen: set[int]) -> list[Event]:
        """What an entry of the stream tells; before Done also the samples that the capped stream had lost."""
        event = await self._event(content)
        if isinstance(event, SampleDone):
            seen.add(event.report.sample)
        if not isinstance(event, Done):
            return [] if event is None else [event]
        made = await self._surely(lambda: self._dispatcher.records.made(self._ticket.id)) or {}
        late = [await self._event(kept) for sample, kept in sorted(made.items()) if sample not in seen]
        return [*(found for found in late if found is not None), event]

    async def _event(self, content: bytes) -> Event | None:
        """None for a preview whose picture is gone by now."""
        event, key = read_event(content)
        if not isinstance(event, SampleDone | Preview):
            return event
        stored = await self._surely(lambda: self._dispatcher.store.get(key), wait=isinstance(event, SampleDone))
        if stored is not None:
            return read_event(content, read_artifact(stored))[0]
        if isinstance(event, Preview):
            return None
        return Failed(self._ticket.id, "internal_error", "the result is gone")

    async def _surely(self, act: Callable[[], Awaitable[T]], wait: bool = True) -> T | None:
        """Redis and the store may be away for a while; None when they do not come back, or are not waited for."""
        end = time.monotonic() + (LOST_SECONDS if wait else 0.0)
        while True:
            try:
                return await act()
            except GONE as error:
                if time.monotonic() >= end:
                    log.error("not reached", request=self._ticket.id, why=str(error) or type(error).__name__)
                    return None
                await asyncio.sleep(0.2)

    def leave(self) -> None:
        """Stop reading; the request goes on."""
        self._left = True

    def close(self) -> None:
        """Cancels, unless it is over or was left."""
        self._dispatcher.ended(self._ticket.id)
        if not self._over and not self._left:
            self._over = True
            self._cancelling = asyncio.ensure_future(self._cancel())

    async def _cancel(self) -> None:
        with suppress(RedisError, OSError):
            await self._dispatcher.records.cancel(self._ticket.id)
