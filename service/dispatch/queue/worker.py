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
from dataclasses import dataclass, replace
from typing import TypeVar

import structlog
from redis.asyncio import Redis

from service.artefacts.base import Store, StoreFull
from service.dispatch.local import STALE, LocalDispatcher
from service.dispatch.queue import reach
from service.dispatch.queue.reach import LOST_SECONDS
from service.dispatch.queue.records import CANCEL, LEASE_SECONDS, WAKE, Attempt, Records, heard
from service.dispatch.queue.wire import artifact_bytes, event_bytes, read_ticket
from service.engine.engine import Engine
from service.engine.events import Event, Failed, Preview, SampleDone, Saved
from service.engine.request import DoesNotFit, Refused, Ticket, UnknownModel

log = structlog.get_logger()

T = TypeVar("T")

BEAT_SECONDS = 1.0  # between signs of life, and looks for requests whose worker died
IDLE_SECONDS = 0.5  # between looks into the queues, where no message wakes the worker
CALL_SECONDS = 10.0  # for one answer of theirs
PREVIEW_SECONDS = 120.0
OTHERS_SECONDS = 600  # that a finished sample may wait for the others of its request
GONE = (*reach.GONE, TimeoutError)
ELSEWHERE = frozenset({"draining", "model_unavailable", "queue_full"})  # another worker may do what this one cannot


class Fenced(Exception):
    """Another worker has the request by now, or it is over."""


class NotHere(Exception):
    """This worker cannot run it now; another may."""


@dataclass(eq=False)
class Run:
    """A request that this worker has."""

    attempt: Attempt
    cancelled: bool = False
    fenced: bool = False
    task: "asyncio.Task[None] | None" = None

    @property
    def ticket_id(self) -> str:
        """In the engine: no two attempts meet under one name."""
        return f"{self.attempt.id}#{self.attempt.token}"


class QueueWorker:
    """Serves the models of `engine` with up to `slots` requests at a time until `stop` is called."""

    def __init__(self, redis: Redis, engine: Engine, store: Store, slots: int, keep_seconds: int) -> None:
        self.redis, self.engine, self.store, self.slots = redis, engine, store, slots
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.records = Records(redis, keep_seconds)
        self.local = LocalDispatcher(engine)
        self.runs: dict[str, Run] = {}
        self._stopping = self._taking = False
        self._pause_until = 0.0  # what could not be run here is left to others for a moment
        self._away_at = -LEASE_SECONDS  # when Redis was last found away
        self._changed = asyncio.Event()

    @property
    def broken(self) -> bool:
        """The engine has died or hangs: this process is of no more use."""
        vitals = self.engine.vitals()
        return not vitals.alive or vitals.heartbeat > STALE

    async def run(self) -> None:
        """Work until `stop` or until the engine dies; leases are kept until nothing runs any more."""
        upkeep = [asyncio.create_task(part()) for part in (self._beat, self._listen)]
        try:
            while not self._stopping and not self.broken:
                await self._intake()
            while self.runs and not self.broken:
                self._changed.clear()
                await self._pause()
        finally:
            await self._give_back()
            for task in upkeep:
                task.cancel()
            await asyncio.gather(*upkeep, return_exceptions=True)

    async def stop(self, drain_seconds: float) -> None:
        """Take nothing more, let what runs finish for a while, hand the rest back without counting it as a try."""
        self._stopping = True
        self._changed.set()
        end = time.monotonic() + drain_seconds
        while (self.runs or self._taking) and time.monotonic() < end and not self.broken:
            await asyncio.sleep(0.02)
        await self._give_back()

    async def _give_back(self) -> None:
        tasks = [run.task for run in self.runs.values() if run.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- taking

    async def _intake(self) -> None:
        self._changed.clear()
        lonely = any(run.attempt.lonely for run in self.runs.values())
        if len(self.runs) >= self.slots or lonely or time.monotonic() < self._pause_until:
            return await self._pause()
        self._taking = True
        try:
            async with asyncio.timeout(CALL_SECONDS):
                attempt = await self.records.take(self.engine.catalogue.entries, self.name)
            if attempt is None:
                self._taking = False
                return await self._pause()
            if self._stopping:
                return await self.records.hand_back(attempt)
            run = self.runs[attempt.id] = Run(attempt, attempt.cancelled)
            run.task = asyncio.create_task(self._work(run))
        except GONE as error:
            self._lost(error)
            await asyncio.sleep(IDLE_SECONDS)
        finally:
            self._taking = False

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), IDLE_SECONDS)

    def _lost(self, error: BaseException) -> None:
        self._away_at = time.monotonic()
        log.warning("the queue cannot be reached", why=str(error) or type(error).__name__)

    # -- working

    async def _work(self, run: Run) -> None:
        attempt = run.attempt
        try:
            if await self._runnable(run):
                await self._until_alone(run)
                await self._attempt(run)
        except Fenced:
            log.info("somebody else has the request, or it is over", request=attempt.id, attempt=attempt.token)
        except NotHere as why:
            log.warning("left to another worker", request=attempt.id, why=str(why))
            self._pause_until = time.monotonic() + BEAT_SECONDS
            await self._hand_back(attempt)
        except asyncio.CancelledError:
            await self._hand_back(attempt)
        except GONE as error:  # the lease runs out, and another worker goes on
            log.error("a request is given up", request=attempt.id, why=str(error) or type(error).__name__)
        except Exception:
            log.exception("a request could not be worked on", request=attempt.id)
        finally:
            if self.runs.get(attempt.id) is run:
                del self.runs[attempt.id]
            self._changed.set()

    async def _runnable(self, run: Run) -> bool:
        """Whether there is anything to run; else the client is told why not."""
        attempt = run.attempt
        if attempt.cancelled:
            await self._tell(attempt, Failed(attempt.id, "cancelled", "the request was cancelled"))
        elif attempt.hopeless:
            message = f"{attempt.deaths} workers died with this request"
            await self._tell(attempt, Failed(attempt.id, "internal_error", message))
        else:
            return True
        return False

    async def _until_alone(self, run: Run) -> None:
        """Where workers have died with this request, nothing else may run beside it."""
        if run.attempt.lonely:
            while len(self.runs) > 1:
                if run.fenced:
                    raise Fenced
                await asyncio.sleep(0.01)
            await self._surely(lambda: self.records.alone(run.attempt))

    async def _attempt(self, run: Run) -> None:
        """Raises Fenced, NotHere."""
        attempt = run.attempt
        try:
            ticket = read_ticket(attempt.ticket, lambda wall: wall - time.time() + self.engine.now())
        except ValueError:
            log.exception("a ticket cannot be read: is the API of another version?", request=attempt.id)
            return await self._tell(attempt, Failed(attempt.id, "internal_error", "the request cannot be read"))
        states = await self._surely(lambda: self.records.states(attempt.id, ticket.request.n))
        await self._decode(run, replace(ticket, id=run.ticket_id, states=states, save=True))

    async def _decode(self, run: Run, ticket: Ticket) -> None:
        attempt = run.attempt
        try:
            subscription = await self.local.submit(ticket)
        except (DoesNotFit, UnknownModel) as refused:
            return await self._tell(attempt, Failed(attempt.id, refused.code, str(refused)))
        except Refused as refused:
            raise NotHere(str(refused)) from None
        try:
            if run.cancelled:
                self.engine.cancel(run.ticket_id)
            async for event in subscription:
                if run.fenced:
                    raise Fenced
                if isinstance(event, Failed):
                    if self.broken or event.code in ELSEWHERE:
                        raise NotHere(event.message)
                    if event.code == "invalid_value" and ticket.states:
                        log.warning("starting over: a saved state cannot be used", request=attempt.id)
                        return await self._decode(run, replace(ticket, states=()))
                await self._tell(attempt, replace(event, request=attempt.id))
        finally:
            subscription.close()

    async def _tell(self, attempt: Attempt, event: Event) -> None:
        """Raises Fenced."""
        if isinstance(event, Saved):
            sample, step, state = event.sample, event.step, event.state
            told = await self._surely(lambda: self.records.keep(attempt, sample, step, state))
        else:
            told = await self._publish(attempt, event)
        if not told:
            raise Fenced

    async def _publish(self, attempt: Attempt, event: Event) -> bool:
        key = artefact_key(attempt, event) if isinstance(event, SampleDone | Preview) else ""
        content, artifact = event_bytes(event, key)
        if artifact is not None:
            preview = isinstance(event, Preview)
            seconds = PREVIEW_SECONDS if preview else float(self.records.keep_seconds + OTHERS_SECONDS)
            stored = artifact_bytes(artifact)
            try:
                await self._surely(lambda: self.store.put(key, stored, seconds))
            except StoreFull as error:
                log.error("there is no room for a result", request=attempt.id, why=str(error))
                if preview:
                    return True
                event = Failed(attempt.id, "storage_full", "there is no room for the result")
                content, _ = event_bytes(event)
        sample = event.report.sample if isinstance(event, SampleDone) else -1
        return await self._surely(lambda: self.records.publish(attempt, content, type(event).__name__, sample))

    async def _surely(self, act: Callable[[], Awaitable[T]]) -> T:
        """Redis and the store may be away for a while."""
        end = time.monotonic() + LOST_SECONDS
        while True:
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    return await act()
            except GONE:
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.1)

    async def _hand_back(self, attempt: Attempt) -> None:
        with suppress(*GONE):
            async with asyncio.timeout(CALL_SECONDS):
                await self.records.hand_back(attempt)

    # -- upkeep

    async def _beat(self) -> None:
        """Signs of life, then requests whose worker gives none - unless Redis was away, and all leases with it."""
        while True:
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    for run in list(self.runs.values()):
                        await self._alive(run)
                    if time.monotonic() - self._away_at > LEASE_SECONDS and await self.records.sweep():
                        self._changed.set()
            except GONE as error:
                self._lost(error)
            except Exception:
                log.exception("upkeep failed")
            await asyncio.sleep(BEAT_SECONDS)

    async def _alive(self, run: Run) -> None:
        if self.broken:
            return  # the lease runs out
        cancelled = await self.records.beat(run.attempt)
        run.fenced = run.fenced or cancelled is None
        if cancelled or run.fenced:
            run.cancelled = True
            self.engine.cancel(run.ticket_id)

    async def _listen(self) -> None:
        """Messages only hasten what the upkeep would find."""
        while True:
            try:
                async with self.redis.pubsub() as channel:
                    await channel.subscribe(WAKE, CANCEL)
                    async for name, text in heard(channel):
                        if name == CANCEL and (run := self.runs.get(text)) is not None:
                            run.cancelled = True
                            self.engine.cancel(run.ticket_id)
                        self._changed.set()
            except GONE:
                await asyncio.sleep(IDLE_SECONDS)
            except Exception:
                log.exception("listening failed")
                await asyncio.sleep(IDLE_SECONDS)


def artefact_key(attempt: Attempt, event: SampleDone | Preview) -> str:
    """Where the picture of an event lies. Attempts have names of their own: what was published never changes."""
    what = f"final-{event.report.sample}" if isinstance(event, SampleDone) else f"partial-{event.sample}-{event.index}"
    return f"{attempt.id}/{attempt.token}/{what}"
