"""The API's side of the queue: requests go in, events come out of Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from math import ceil

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from models.catalogue import Catalogue
from service.artefacts.base import Store
from service.dispatch.base import Health, Subscription
from service.dispatch.queue.names import new_job, open_queues
from service.dispatch.queue.records import WAKE, Records
from service.dispatch.queue.wire import event_bytes, read_artifact, read_event, ticket_bytes
from service.engine.batch import StepRecord
from service.engine.events import Done, Event, Failed, Preview, SampleDone, Terminal
from service.engine.request import Draining, QueueAway, QueueFull, Ticket, UnknownModel

log = structlog.get_logger()

AWAY_SECONDS = 2.0  # how long a new request waits for Redis
LOST_SECONDS = 60.0  # how long a running one does
SMOOTHING = 0.1  # of the measured seconds per request


class QueueDispatcher:
    """Requests run on whichever worker takes them. `submit` and the subscriptions belong to one event loop."""

    def __init__(self, redis: Redis, catalogue: Catalogue, store: Store, max_waiting: int, keep_seconds: int) -> None:
        self.redis, self.catalogue, self.store, self.max_waiting = redis, catalogue, store, max_waiting
        self.records = Records(redis, keep_seconds)
        self.queues = open_queues(redis, catalogue.entries)
        self.subscriptions: dict[str, QueueSubscription] = {}
        self.pace = 1.0  # seconds between two requests that end, while some wait
        self._ended = 0.0
        self._draining = False
        self._away = False
        self._counted = (0, 0)  # waiting, running, when last looked

    async def submit(self, ticket: Ticket) -> Subscription:
        """Raises Refused."""
        if self._draining:
            raise Draining("the server is shutting down")
        if ticket.model not in self.catalogue.entries:
            raise UnknownModel(f"there is no model {ticket.model!r}")
        try:
            async with asyncio.timeout(AWAY_SECONDS):
                await self._enqueue(ticket)
        except (RedisError, OSError, TimeoutError) as error:
            self._away = True
            log.error("the queue cannot be reached", why=str(error) or type(error).__name__)
            raise QueueAway("the queue cannot be reached; try again soon") from None
        self._away = False
        subscription = QueueSubscription(self, ticket)
        self.subscriptions[ticket.id] = subscription
        return subscription

    async def _enqueue(self, ticket: Ticket) -> None:
        waiting = await self.waiting()
        if waiting >= self.max_waiting:
            raise QueueFull(max(1.0, self.pace * waiting))
        content = ticket_bytes(ticket, lambda at: at - self.now() + time.time())
        if await self.records.open(ticket.id, content):
            try:
                await self.queues[ticket.model, ticket.priority].enqueue(new_job(ticket.id))
            except BaseException:
                with suppress(RedisError, OSError):
                    await self.records.forget(ticket.id)
                raise
            await self.redis.publish(WAKE, ticket.model)

    async def waiting(self) -> int:
        """Requests that no worker has taken."""
        counts = await asyncio.gather(*(queue.count("queued") for queue in self.queues.values()))
        active = await asyncio.gather(*(queue.count("active") for queue in self.queues.values()))
        self._counted = (sum(counts), sum(active))
        return sum(counts)

    def cancel(self, ticket_id: str) -> None:
        if subscription := self.subscriptions.get(ticket_id):
            subscription.close()

    def now(self) -> float:
        return time.monotonic()

    def watch(self, listener: Callable[[StepRecord], None]) -> None:
        """Batches run in workers; nothing is heard of them here."""

    def health(self) -> Health:
        waiting, running = self._counted
        ready = not self._draining and not self._away
        return Health(True, ready, running, waiting, "the queue cannot be reached" if self._away else "")

    async def drain(self, timeout: float) -> None:
        """Requests that are still under way stay in the queue; their clients may come back for them."""
        self._draining = True
        end = self.now() + timeout
        while self.subscriptions and self.now() < end:
            await asyncio.sleep(0.05)
        for subscription in list(self.subscriptions.values()):
            subscription.leave()

    def ended(self, id: str) -> None:
        """A request is over: measure how fast they go."""
        self.subscriptions.pop(id, None)
        now = self.now()
        if self._ended:
            self.pace += SMOOTHING * (min(60.0, now - self._ended) - self.pace)
        self._ended = now

    def retry_after(self) -> int:
        return ceil(max(1.0, self.pace * self._counted[0]))


class QueueSubscription:
    """The events of one request, read from its stream; an interrupted connection is taken up again."""

    def __init__(self, dispatcher: QueueDispatcher, ticket: Ticket, after: str = "0") -> None:
        self._dispatcher, self._ticket, self._after = dispatcher, ticket, after
        self._over = self._left = False
        self._cancelling: asyncio.Task[None] | None = None

    async def __aiter__(self) -> AsyncIterator[Event]:
        seen: set[int] = set()
        try:
            while not self._over and not self._left:
                for at, content in await self._read():
                    self._after = at
                    event = await self._event(content)
                    if isinstance(event, SampleDone):
                        seen.add(event.report.sample)
                    if isinstance(event, Done):
                        for late in await self._missed(seen):  # the capped stream had lost them
                            yield late
                    self._over = isinstance(event, Terminal)
                    if event is not None:
                        yield event
            if self._left and not self._over:
                yield Failed(self._ticket.id, "draining", "the server is shutting down")
        finally:
            self.close()

    async def _read(self) -> list[tuple[str, bytes]]:
        """Waits for Redis to come back, for a while."""
        lost: float | None = None
        while True:
            try:
                return await self._dispatcher.records.events(self._ticket.id, self._after)
            except (RedisError, OSError) as error:
                now = time.monotonic()
                lost = now if lost is None else lost
                if now - lost > LOST_SECONDS:
                    log.error("the queue is gone", request=self._ticket.id, why=str(error))
                    failed, _ = event_bytes(Failed(self._ticket.id, "internal_error", "the queue is gone"))
                    return [(self._after, failed)]
                await asyncio.sleep(0.2)

    async def _event(self, content: bytes) -> Event | None:
        """None for a preview whose picture is gone by now."""
        event = read_event(content)
        if isinstance(event, SampleDone | Preview):
            stored = await self._dispatcher.store.get(artefact_key(event))
            if stored is not None:
                return read_event(content, read_artifact(stored))
            if isinstance(event, SampleDone):
                return Failed(self._ticket.id, "internal_error", "the result has expired")
            return None
        return event

    async def _missed(self, seen: set[int]) -> list[Event]:
        made = await self._dispatcher.records.made(self._ticket.id)
        found = [await self._event(content) for sample, content in sorted(made.items()) if sample not in seen]
        return [event for event in found if event is not None]

    def leave(self) -> None:
        """Stop reading; the request goes on."""
        self._left = True

    def close(self) -> None:
        if self._over or self._left:
            self._dispatcher.ended(self._ticket.id)
            return
        self._over = True
        self._dispatcher.ended(self._ticket.id)
        self._cancelling = asyncio.ensure_future(self._cancel())

    async def _cancel(self) -> None:
        with suppress(RedisError, OSError):
            await self._dispatcher.records.cancel(self._ticket.id)


def artefact_key(event: SampleDone | Preview) -> str:
    """Where the picture of an event lies. A later attempt makes the same bytes, so the names are the same."""
    if isinstance(event, SampleDone):
        return f"{event.request}/final-{event.report.sample}"
    return f"{event.request}/partial-{event.sample}-{event.index}"
