"""Kept requests as Redis has them: any process may find, follow and end them. Implements Jobs and Ledger."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from service.artefacts.base import Store
from service.dispatch.base import Known, Page, Subscription
from service.dispatch.queue.reach import reached, surely
from service.dispatch.queue.records import Records
from service.dispatch.queue.stream import Stream
from service.dispatch.queue.wire import event_bytes, read_artifact, read_event, read_ticket
from service.engine.events import Event, Failed, SampleDone
from service.webhooks.courier import Owed

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
            if (end := await self._end()) is not None:
                yield end
                return

    async def _end(self) -> Event | None:
        records, id = self.stream.records, self.stream.id
        kept = await surely(lambda: records.kept(id))
        last = await surely(lambda: records.so_far(id, most=1)) if kept is not None and kept.ended is not None else None
        if kept is None:
            return Failed(id, "internal_error", "the request is gone")
        return read_event(last[0][1])[0] if last and last[0][0] == self.stream.after else None

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
        ticket = read_ticket(kept.ticket, lambda wall: wall - time.time() + time.monotonic())
        expires = None if kept.ended is None else time.time() + kept.left
        return Known(ticket, kept.note, kept.created, kept.ended, expires)

    async def told(self, id: str) -> list[Event]:
        async with reached():
            made = await self.records.made(id)
            entries = await self.records.so_far(id, most=RECENT)
        recent = (read_event(content)[0] for _, content in entries)
        events = [event for event in recent if not isinstance(event, SampleDone)]
        return [*(read_event(content)[0] for content in made.values()), *events]

    async def sample(self, id: str, sample: int) -> SampleDone | None:
        async with reached():
            content = (await self.records.made(id)).get(sample)
            stored = None if content is None else await self.store.get(read_event(content)[1])
        if content is None or stored is None:
            return None
        event, _ = read_event(content, read_artifact(stored))
        return event if isinstance(event, SampleDone) else None

    async def follow(self, id: str, after: str = "") -> Subscription:
        return Follower(Stream(self.records, self.store, id, after))

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
            kept, made = await self.records.kept(id), await self.records.made(id)
            if kept is None or kept.ended is None:
                return
            owner = read_ticket(kept.ticket, lambda wall: wall).owner
            await self.records.forget(id, owner)
            for content in made.values():
                await self.store.delete(read_event(content)[1])

    async def secret(self) -> bytes:
        async with reached():
            return await self.records.secret()

    # -- Ledger

    async def owed(self, limit: int) -> list[Owed]:
        return [Owed(*found) for found in await self.records.owed(limit)]

    async def settled(self, id: str) -> None:
        await self.records.settled(id)

    async def postponed(self, id: str, seconds: float) -> None:
        await self.records.postponed(id, seconds)
