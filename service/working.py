"""Set-ups of several processes: the API's connection to the queue, and a worker's life. Needs the extra `queue`."""

import asyncio
import signal
from contextlib import AsyncExitStack
from socket import socket
from typing import TYPE_CHECKING

import structlog

from models.catalogue import Catalogue
from service.http.probe import probe
from service.observe.metrics import Metrics
from service.settings import Settings

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from service.artefacts.base import Store
    from service.dispatch.queue.client import QueueDispatcher
    from service.dispatch.queue.worker import QueueWorker
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


async def work(settings: Settings, engine: "Engine", listener: socket | None = None) -> None:
    """Take requests until Ctrl-C or SIGTERM; then drain. Raises ValueError for an address that is none, SystemExit when
    the engine died. listener: where /health and /metrics are served.
    """
    redis, store = _redis(settings), _store(settings)
    from service.dispatch.queue.worker import QueueWorker

    worker = QueueWorker(redis, engine, store, settings.slots, int(settings.results_seconds))
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    metrics = watched(worker)
    log.info("working", models=sorted(engine.catalogue.entries), slots=settings.slots, device=engine.device)
    async with AsyncExitStack() as stack:
        if listener is not None:
            await stack.enter_async_context(probe(listener, metrics, lambda: (not worker.broken, _state(worker))))
        working = asyncio.create_task(worker.run())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        log.info("draining", seconds=settings.drain_seconds, running=len(worker.runs))
        await worker.stop(settings.drain_seconds)
        await working
        stopping.cancel()
    if worker.broken:
        log.error("the engine has stopped; what ran goes on elsewhere")
        raise SystemExit(1)
    await asyncio.to_thread(engine.stop)
    await store.close()
    await redis.aclose()


def watched(worker: "QueueWorker") -> Metrics:
    """What the worker's engine does, as metrics."""
    metrics = Metrics()
    worker.local.watch(metrics.stepped)
    worker.local.hear(metrics.heard)
    metrics.watch("sequences_running", "Samples being decoded", lambda: worker.engine.vitals().running)
    metrics.watch("requests_taken", "Requests that this worker has", lambda: len(worker.runs))
    metrics.watch("slots", "Requests that it takes at a time", lambda: worker.slots)
    return metrics


def _state(worker: "QueueWorker") -> dict[str, object]:
    return {"running": len(worker.runs), "slots": worker.slots, "device": worker.engine.device}


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
