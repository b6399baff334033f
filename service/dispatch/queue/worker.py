"""A worker: an engine that takes requests out of the queue while it has free slots, and tells what becomes of them.

The event loop keeps the leases alive, whatever the engine's thread is busy with. Every write names its attempt, so that
a worker whose lease ran out - it slept, or Redis was away - cannot publish beside its successor.
"""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from saq import Job, Status

from service.artefacts.base import Store, StoreAway, StoreFull
from service.dispatch.local import LocalDispatcher
from service.dispatch.queue.client import artefact_key
from service.dispatch.queue.names import open_queues
from service.dispatch.queue.records import CANCEL, UNFINISHED_SECONDS, WAKE, Attempt, Records, heard
from service.dispatch.queue.wire import artifact_bytes, event_bytes, read_ticket
from service.engine.engine import Engine
from service.engine.events import Event, Failed, Preview, SampleDone, Saved, Terminal
from service.engine.request import Refused, Ticket

log = structlog.get_logger()

T = TypeVar("T")

BEAT_SECONDS = 1.0  # between signs of life
SWEEP_SECONDS = 1.0  # between looks for jobs whose worker died
IDLE_SECONDS = 0.5  # between looks into the queues, where no message wakes the worker
LOST_SECONDS = 60.0  # how long Redis may be away before what runs is given up
PREVIEW_SECONDS = 120.0
ABORT_SECONDS = 0.1  # how long a sweep waits for a dead worker to answer


class Fenced(Exception):
    """Another worker has the request by now, or it is over."""


@dataclass(eq=False)
class Run:
    """A request that this worker has. `lock`: a sign of life must not follow the end."""

    job: Job
    attempt: Attempt
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    over: bool = False
    task: "asyncio.Task[None] | None" = None

    @property
    def ticket_id(self) -> str:
        """In the engine: no two attempts meet under one name."""
        return f"{self.attempt.id}#{self.attempt.number}"


class QueueWorker:
    """Serves the models of `engine` with up to `slots` requests at a time until `stop` is called."""

    def __init__(self, redis: Redis, engine: Engine, store: Store, slots: int, keep_seconds: int) -> None:
        self.redis, self.engine, self.store, self.slots = redis, engine, store, slots
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.records = Records(redis, keep_seconds)
        self.queues = open_queues(redis, engine.catalogue.entries)
        self.local = LocalDispatcher(engine)
        self.runs: dict[str, Run] = {}
        self._lonely = False
        self._stopping = False
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Work until `stop`; what still runs then has been handed back when this returns."""
        upkeep = [asyncio.create_task(part()) for part in (self._beat, self._sweep, self._listen)]
        try:
            while not self._stopping:
                await self._intake()
        finally:
            for task in upkeep:
                task.cancel()
            await asyncio.gather(*upkeep, return_exceptions=True)

    async def stop(self, drain_seconds: float) -> None:
        """Take nothing more, let what runs finish for a while, hand the rest back without counting it as a try."""
        self._stopping = True
        self._changed.set()
        end = time.monotonic() + drain_seconds
        while self.runs and time.monotonic() < end:
            await asyncio.sleep(0.02)
        tasks = [run.task for run in self.runs.values() if run.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- taking

    async def _intake(self) -> None:
        self._changed.clear()
        if len(self.runs) >= self.slots or self._lonely:
            await self._pause()
            return
        try:
            job = await self._take()
            if job is None:
                await self._pause()
                return
            if job.key in self.runs:  # swept by mistake: it is alive, and its lease holds again
                return
            attempt = await self.records.begin(job.key, self.name)
            if attempt is None:  # it is over: somebody finished it, and died before saying so
                await job.finish(Status.COMPLETE)
                return
        except (RedisError, OSError) as error:
            log.warning("the queue cannot be reached", why=str(error))
            await asyncio.sleep(IDLE_SECONDS)
            return
        run = self.runs[job.key] = Run(job, attempt)
        self._lonely = attempt.lonely
        run.task = asyncio.create_task(self._work(run))

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), IDLE_SECONDS)

    async def _take(self) -> Job | None:
        """The first job of the most urgent queue that has one."""
        counts = await asyncio.gather(*(queue.count("queued") for queue in self.queues.values()))
        for queue, count in zip(self.queues.values(), counts, strict=True):
            if count and (job := await queue.dequeue(timeout=0.05)):
                job.started, job.attempts = int(time.time() * 1000), job.attempts + 1
                await job.update(status=Status.ACTIVE)
                return job
        return None

    # -- working

    async def _work(self, run: Run) -> None:
        try:
            await self._until_alone(run)
            await self._attempt(run)
            await self._end(run, Status.COMPLETE)
        except Fenced:
            log.info("somebody else has the request", request=run.attempt.id, attempt=run.attempt.number)
            run.over = True
        except asyncio.CancelledError:
            await self._hand_back(run)
        except (RedisError, OSError) as error:
            run.over = True  # the lease runs out, and another worker goes on
            log.error("a request is given up: the queue is gone", request=run.attempt.id, why=str(error))
        except Exception:
            run.over = True
            log.exception("a request could not be worked on", request=run.attempt.id)
        finally:
            self.runs.pop(run.attempt.id, None)
            self._lonely = False
            self._changed.set()

    async def _until_alone(self, run: Run) -> None:
        """Where workers have died with this request, nothing else may run beside it."""
        if run.attempt.lonely:
            while len(self.runs) > 1:
                await asyncio.sleep(0.01)
            await self._surely(lambda: self.records.alone(run.attempt))

    async def _attempt(self, run: Run) -> None:
        """Raises Fenced."""
        attempt = run.attempt
        if attempt.cancelled:
            return await self._tell(attempt, Failed(attempt.id, "cancelled", "the request was cancelled"))
        if attempt.hopeless:
            message = f"{attempt.deaths} workers died with this request"
            return await self._tell(attempt, Failed(attempt.id, "internal_error", message))
        try:
            ticket = read_ticket(attempt.ticket, lambda wall: wall - time.time() + self.engine.now())
        except ValueError:
            log.exception("a ticket cannot be read: is the API of another version?", request=attempt.id)
            return await self._tell(attempt, Failed(attempt.id, "internal_error", "the request cannot be read"))
        states = await self._surely(lambda: self.records.states(attempt.id, ticket.request.n))
        await self._decode(attempt, replace(ticket, id=run.ticket_id, states=states, save=True))

    async def _decode(self, attempt: Attempt, ticket: Ticket) -> None:
        try:
            subscription = await self.local.submit(ticket)
        except Refused as refused:
            return await self._tell(attempt, Failed(attempt.id, refused.code, str(refused)))
        try:
            async for event in subscription:
                damaged = isinstance(event, Failed) and event.code == "invalid_value" and ticket.states
                if damaged:
                    log.warning("starting over: a saved state cannot be used", request=attempt.id)
                    return await self._decode(attempt, replace(ticket, states=()))
                await self._tell(attempt, replace(event, request=attempt.id))
        finally:
            subscription.close()

    async def _tell(self, attempt: Attempt, event: Event) -> None:
        """Raises Fenced."""
        if isinstance(event, Saved):
            sample, step, state = event.sample, event.step, event.state
            told = await self._surely(lambda: self.records.keep(attempt, sample, step, state))
        else:
            content, artifact = event_bytes(event)
            if artifact is not None:
                assert isinstance(event, SampleDone | Preview)
                seconds = PREVIEW_SECONDS if isinstance(event, Preview) else float(UNFINISHED_SECONDS)
                key, stored = artefact_key(event), artifact_bytes(artifact)
                try:
                    await self._surely(lambda: self.store.put(key, stored, seconds))
                except (StoreFull, StoreAway) as error:
                    log.error("a result cannot be stored", request=attempt.id, why=str(error))
                    if isinstance(event, Preview):
                        return
                    content, _ = event_bytes(Failed(attempt.id, "internal_error", "the result cannot be stored"))
                    await self._surely(lambda: self.records.publish(attempt, content, "Failed"))
                    raise Fenced from None
            sample = event.report.sample if isinstance(event, SampleDone) else -1
            told = await self._surely(lambda: self.records.publish(attempt, content, type(event).__name__, sample))
        if not told and not isinstance(event, Terminal):
            raise Fenced

    async def _surely(self, act: Callable[[], Awaitable[T]]) -> T:
        """Redis may go away for a while."""
        end = time.monotonic() + LOST_SECONDS
        while True:
            try:
                return await act()
            except (RedisError, OSError):
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.1)

    async def _end(self, run: Run, status: Status) -> None:
        async with run.lock:
            run.over = True
            await self._surely(lambda: run.job.finish(status))

    async def _hand_back(self, run: Run) -> None:
        with suppress(RedisError, OSError):
            async with run.lock:
                run.over = True
                await self.records.hand_back(run.attempt)
                await run.job.retry("its worker stops")
                await self.redis.publish(WAKE, "")

    # -- upkeep

    async def _beat(self) -> None:
        while True:
            await asyncio.gather(*(self._alive(run) for run in list(self.runs.values())), return_exceptions=True)
            await asyncio.sleep(BEAT_SECONDS)

    async def _alive(self, run: Run) -> None:
        async with run.lock:
            if not run.over:
                await run.job.update(status=Status.ACTIVE)

    async def _sweep(self) -> None:
        """Jobs whose worker gives no sign of life go back into their queue."""
        while True:
            for queue in self.queues.values():
                with suppress(RedisError, OSError):
                    if await queue.sweep(lock=1, abort=ABORT_SECONDS):
                        self._changed.set()
            await asyncio.sleep(SWEEP_SECONDS)

    async def _listen(self) -> None:
        while True:
            try:
                async with self.redis.pubsub() as channel:
                    await channel.subscribe(WAKE, CANCEL)
                    async for name, text in heard(channel):
                        if name == CANCEL and text in self.runs:
                            self.engine.cancel(self.runs[text].ticket_id)
                        self._changed.set()
            except (RedisError, OSError):
                await asyncio.sleep(IDLE_SECONDS)
