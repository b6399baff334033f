"""Kept requests as Redis has them: any process may find, follow and end them. Implements Jobs and Ledger."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import structlog

from service.artefacts.base import Store
from service.dispatch.base import Known, Page, Subscription
from service.dispatch.queue.reach import reached
from service.dispatch.queue.records import Records
from service.dispatch.queue.stream import Stream
from service.dispatch.queue.wire import UnknownEvent, event_bytes, read_artifact, read_event, read_ticket
from service.engine.events import Event, Failed, SampleDone
from service.webhooks.courier import Owed

log = structlog.get_logger()

RECENT = 256  # events that surely hold the newest of each sample


@dataclass
class Follower:
    """Reads along and leaves the request alone. Who has read it all hears the end once more."""

    stream: Stream

    async def __aiter__(self) -> AsyncIterator[Event]:
        async for event in self.stream.read():
            if event is not None:
                yield event
                continue
            if (waiting := await self.stream.place()) is not None:
                yield waiting
            if (end := await self.stream.end()) is not None:
                yield end
                return

    def close(self) -> None: ...


@dataclass(frozen=True)
class QueueJobs:
    records: Records
    store: Store

    async def find(self, id: str) -> Known | None:
        async with reached():
            kept = await self.records.kept(id)
        if kept is None:
            return None
        try:
            ticket = read_ticket(kept.ticket, lambda wall: wall - time.time() + time.monotonic())
        except ValueError:
            log.exception("a ticket cannot be read: is a process of another version?", request=id)
            return None
        expires = None if kept.ended is None else time.time() + kept.left
        return Known(ticket, kept.note, kept.created, kept.ended, expires)

    async def told(self, id: str) -> list[Event]:
        async with reached():
            run = await self._run(id)
            entries = await self.records.so_far(id, run, RECENT)
            made = await self.records.made(id, run)  # last: whose end was told has all of them
        recent = [event for at, content in entries if (event := _event(at, content)) is not None]
        finished = (_event(at, content) for at, content in made.values())
        return [
            *(event for event in finished if event is not None),
            *(event for event in recent if not isinstance(event, SampleDone)),
        ]

    async def sample(self, id: str, sample: int) -> SampleDone | None:
        async with reached():
            _, content = (await self.records.made(id, await self._run(id))).get(sample, ("", None))
            stored = None if content is None else await self.store.get(read_event(content)[1])
        if content is None or stored is None:
            return None
        event, _ = read_event(content, read_artifact(stored))
        return event if isinstance(event, SampleDone) else None

    async def follow(self, id: str, after: str = "") -> Subscription:
        async with reached():
            return Follower(Stream(self.records, self.store, id, await self._run(id), after))

    async def _run(self, id: str) -> str:
        kept = await self.records.kept(id)
        return "" if kept is None else kept.run

    async def page(self, owner: str, after: str, limit: int, newest_first: bool) -> Page:
        async with reached():
            ids = await self.records.page(owner, after, limit, newest_first)
        return Page(ids[:limit], len(ids) > limit)

    async def cancel(self, id: str) -> None:
        failed, _ = event_bytes(Failed(id, "cancelled", "the request was cancelled"))
        async with reached():
            await self.records.cancel(id, failed)

    async def forget(self, id: str) -> None:
        async with reached():
            kept = await self.records.kept(id)
            if kept is None or kept.ended is None:
                return
            made = await self.records.made(id, kept.run)
            owner = read_ticket(kept.ticket, lambda wall: wall).owner
            await self.records.forget(id, owner)
            for _, content in made.values():
                await self.store.delete(read_event(content)[1])

    async def secret(self) -> bytes:
        async with reached():
            return await self.records.secret()

    # -- Ledger

    async def owed(self, limit: int) -> list[Owed]:
        return [Owed(*found) for found in await self.records.owed(limit)]

    async def settled(self, id: str) -> None:
        job, ended = id.rsplit("-", 1)
        await self.records.settled(job, ended)

    async def postponed(self, id: str, seconds: float) -> None:
        job, ended = id.rsplit("-", 1)
        await self.records.postponed(job, ended, seconds)


def _event(at: str, content: bytes) -> Event | None:
    """Without its picture; None for what a newer version tells."""
    try:
        return replace(read_event(content)[0], at=at)
    except UnknownEvent:
        return None
