"""The embedded dispatcher: requests run on an engine in this process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from models.catalogue import Catalogue
from service.artefacts.base import Store
from service.artefacts.memory import MemoryStore
from service.dispatch.base import PLAIN, Health, Subscription, Terms
from service.dispatch.journals import Journals
from service.engine.batch import StepRecord
from service.engine.engine import Engine
from service.engine.events import Event, Terminal
from service.engine.mailbox import Mailbox
from service.engine.request import Ticket

Listener = Callable[[Ticket, Event], None]

KEEP_SECONDS = 900.0
KEEP_BYTES = 256 << 20
STALE = 30.0  # seconds without a turn of the loop: one forward may take a while, this is no forward


class LocalSubscription:
    """Events from the engine's thread to the event loop's."""

    def __init__(self, engine: Engine, ticket: Ticket, listeners: list[Listener]) -> None:
        self._engine, self._ticket, self._listeners = engine, ticket, listeners
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._over = False
        self._mailbox = Mailbox(self._notify)
        engine.submit(ticket, self._mailbox)

    def _notify(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody reads any more
            self._loop.call_soon_threadsafe(self._ready.set)

    async def __aiter__(self) -> AsyncIterator[Event]:
        try:
            while not self._over:
                await self._ready.wait()
                self._ready.clear()
                for event in self._mailbox.take():
                    self._over = isinstance(event, Terminal)
                    for listener in self._listeners:
                        listener(self._ticket, event)
                    yield event
        finally:
            self.close()

    def close(self) -> None:
        if not self._over:
            self._over = True
            self._engine.cancel(self._ticket.id)


class LocalDispatcher:
    """Kept requests and their results are this process's: they end with it."""

    def __init__(
        self,
        engine: Engine,
        store: Store | None = None,
        keep_seconds: float = KEEP_SECONDS,
        keep_bytes: int = KEEP_BYTES,
    ) -> None:
        self.engine = engine
        self.catalogue: Catalogue = engine.catalogue
        self.store = store or MemoryStore(keep_bytes)
        self.jobs = self.ledger = Journals(keep_seconds, keep_bytes)
        self._listeners: list[Listener] = []

    async def submit(self, ticket: Ticket, terms: Terms = PLAIN) -> Subscription:
        if terms.kept:
            return await self.jobs.submit(ticket, terms, self._start)
        return self._start(ticket)

    def _start(self, ticket: Ticket) -> Subscription:
        return LocalSubscription(self.engine, ticket, self._listeners)

    def now(self) -> float:
        return self.engine.now()

    def watch(self, listener: Callable[[StepRecord], None]) -> None:
        self.engine.watchers.append(listener)

    def hear(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def health(self) -> Health:
        vitals = self.engine.vitals()
        policy = self.engine.scheduler.policy
        crowded = vitals.waiting >= policy.shed_mark * policy.max_waiting
        return Health(
            alive=vitals.alive and vitals.heartbeat < STALE,
            ready=vitals.alive and not vitals.draining and not crowded,
            running=vitals.running,
            waiting=vitals.waiting,
        )

    async def drain(self, timeout: float) -> None:
        self.engine.close_door()
        end = self.engine.now() + timeout
        while not self.engine.idle() and self.engine.now() < end:
            await asyncio.sleep(0.05)
        await asyncio.to_thread(self.engine.stop)
