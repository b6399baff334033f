"""Places where requests can run: in this process, or on workers over a real Redis. Tests ask the same of both."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep
from typing import Any

from redis.asyncio import Redis

from models.catalogue import Catalogue, Entry
from models.decoder import IterativeDecoder, Sequence, Work
from service.artefacts.redis import RedisStore
from service.dispatch.base import Dispatcher
from service.dispatch.local import LocalDispatcher
from service.dispatch.queue.client import QueueDispatcher
from service.dispatch.queue.worker import QueueWorker
from service.engine.engine import Engine
from service.engine.events import Event, SampleDone
from service.engine.policy import Policy
from service.engine.request import Ticket
from tests.engines import Shelf
from tests.fakes import ToyDecoder

KEEP_SECONDS = 60


@dataclass
class Slow(ToyDecoder):
    """Every forward takes its time; `hold` stops it altogether."""

    seconds: float = 0.0
    hold: threading.Event = field(default_factory=threading.Event)

    def run(self, work: Work, seqs: list[Sequence]) -> None:  # type: ignore[override]
        sleep(self.seconds)
        while self.hold.is_set():
            sleep(0.005)
        super().run(work, seqs)


def catalogue_of(decoder: IterativeDecoder) -> Catalogue:
    shelf: Any = Shelf({decoder.spec.id: decoder})
    return Catalogue({decoder.spec.id: Entry(decoder.spec, Path("nowhere"), shelf)})


def engine_of(decoder: IterativeDecoder, policy: Policy | None = None) -> Engine:
    return Engine(catalogue_of(decoder), policy, "cpu").start()


@asynccontextmanager
async def local(decoder: IterativeDecoder, max_waiting: int = 8) -> AsyncIterator[Dispatcher]:
    engine = engine_of(decoder, Policy(max_waiting=max_waiting))
    yield LocalDispatcher(engine)
    engine.stop()


@asynccontextmanager
async def worker(url: str, decoder: IterativeDecoder, slots: int = 8) -> AsyncIterator[QueueWorker]:
    """One that works until the block ends."""
    redis, engine = Redis.from_url(url), engine_of(decoder)
    one = QueueWorker(redis, engine, RedisStore(redis), slots, KEEP_SECONDS)
    task = asyncio.create_task(one.run())
    try:
        yield one
    finally:
        await one.stop(0.0)
        await task
        engine.stop()
        await redis.aclose()


@asynccontextmanager
async def client(url: str, decoder: IterativeDecoder, max_waiting: int = 8) -> AsyncIterator[QueueDispatcher]:
    redis = Redis.from_url(url, socket_connect_timeout=1)
    yield QueueDispatcher(redis, catalogue_of(decoder), RedisStore(redis), max_waiting, KEEP_SECONDS)
    await redis.aclose()


Place = Callable[..., Any]


def over(url: str) -> Place:
    @asynccontextmanager
    async def queue(decoder: IterativeDecoder, max_waiting: int = 8) -> AsyncIterator[Dispatcher]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(worker(url, decoder, slots=2))
            yield await stack.enter_async_context(client(url, decoder, max_waiting))

    return queue


async def events(dispatcher: Dispatcher, ticket: Ticket) -> list[Event]:
    """All of one request's."""
    subscription = await dispatcher.submit(ticket)
    return [event async for event in subscription]


def tokens(found: list[Event]) -> list[list[int]]:
    made = [event for event in found if isinstance(event, SampleDone)]
    return [event.artifact.tokens.tolist() for event in sorted(made, key=lambda event: event.report.sample)]
