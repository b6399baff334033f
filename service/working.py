"""Set-ups of several processes: the API's connection to the queue, and a worker's life. Needs the extra `queue`."""

import asyncio
import signal
from typing import TYPE_CHECKING

import structlog

from models.catalogue import Catalogue
from service.settings import Settings

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from service.artefacts.base import Store
    from service.dispatch.queue.client import QueueDispatcher
    from service.engine.engine import Engine

log = structlog.get_logger()

CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 5.0  # a silent Redis is a lost one


def connected(settings: Settings, catalogue: Catalogue) -> "QueueDispatcher":
    """The API's side. Nothing is connected before the first request. Raises ValueError."""
    redis, store = _redis(settings), _store(settings)
    from service.dispatch.queue.client import QueueDispatcher

    keep = int(settings.results_seconds)
    return QueueDispatcher(redis, catalogue, store, settings.max_waiting, keep)


async def work(settings: Settings, engine: "Engine") -> None:
    """Take requests until Ctrl-C or SIGTERM; then drain. Raises ValueError for an address that is none, SystemExit when
    the engine died.
    """
    redis, store = _redis(settings), _store(settings)
    from service.dispatch.queue.worker import QueueWorker

    worker = QueueWorker(redis, engine, store, settings.slots, int(settings.results_seconds))
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    log.info("working", models=sorted(engine.catalogue.entries), slots=settings.slots, device=engine.device)
    working = asyncio.create_task(worker.run())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    log.info("draining", seconds=settings.drain_seconds, running=len(worker.runs))
    await worker.stop(settings.drain_seconds)
    await working
    if worker.broken:
        log.error("the engine has stopped; what ran goes on elsewhere")
        raise SystemExit(1)
    await asyncio.to_thread(engine.stop)
    await store.close()
    await redis.aclose()


def _redis(settings: Settings) -> "Redis":
    try:
        from redis.asyncio import Redis
    except ImportError:
        raise ValueError("workers need one more package: pip install 'maskserve[queue]'") from None
    assert settings.redis_url is not None
    return Redis.from_url(
        settings.redis_url,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        socket_keepalive=True,
        health_check_interval=10,
    )


def _store(settings: Settings) -> "Store":
    from service.artefacts.open import open_store

    return open_store(settings.artefacts or str(settings.redis_url))
