"""The events of one request out of Redis, with their pictures out of the store."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace

from service.artefacts.base import Store
from service.dispatch.queue.reach import surely
from service.dispatch.queue.records import Records
from service.dispatch.queue.wire import read_artifact, read_event
from service.engine.events import Done, Event, Failed, Preview, SampleDone, Terminal, Waiting

POSITION = re.compile(r"\d{1,20}-\d{1,20}")


class Stream:
    """`after`: the `at` of the last event that is known already. Raises ValueError where it cannot be one."""

    def __init__(self, records: Records, store: Store, id: str, after: str = "") -> None:
        if after and not POSITION.fullmatch(after):
            raise ValueError(f"not a position: {after[:40]!r}")
        self.records, self.store, self.id = records, store, id
        self.after = after
        self._place: int | None = None
        self._started = False

    async def read(self) -> AsyncIterator[Event | None]:
        """To the last event. None when nothing came for a second. Interrupted connections are taken up again."""
        seen = await self._seen()
        while True:
            entries = await surely(lambda: self.records.events(self.id, self.after or "0"))
            if entries is None:
                yield Failed(self.id, "internal_error", "the queue is gone")
                return
            if not entries:
                yield None
            for at, content in entries:
                self._started = True
                *late, event = await self._told(content, seen)
                for one in late:
                    yield one if one is None else replace(one, at=self.after)
                self.after = at
                if event is not None:
                    yield replace(event, at=at)
                    if isinstance(event, Terminal):
                        return

    async def place(self) -> Waiting | None:
        """How many start before it, where that is news."""
        if self._started:
            return None
        place = await surely(lambda: self.records.place(self.id), wait=False)
        if place is None or place == self._place:
            return None
        self._place = place
        return Waiting(self.id, place)

    async def _seen(self) -> set[int]:
        """Samples that were told before."""
        if not self.after:
            return set()
        before = await surely(lambda: self.records.so_far(self.id, self.after)) or []
        events = (read_event(content)[0] for _, content in before)
        return {event.report.sample for event in events if isinstance(event, SampleDone)}

    async def _told(self, content: bytes, seen: set[int]) -> list[Event | None]:
        """What an entry tells; before Done also the samples that the capped stream has lost."""
        event = await self._event(content)
        if isinstance(event, SampleDone):
            seen.add(event.report.sample)
        if not isinstance(event, Done):
            return [event]
        made = await surely(lambda: self.records.made(self.id)) or {}
        late = [await self._event(kept) for sample, kept in sorted(made.items()) if sample not in seen]
        return [*(found for found in late if found is not None), event]

    async def _event(self, content: bytes) -> Event | None:
        """None for a preview whose picture is gone by now."""
        event, key = read_event(content)
        if not isinstance(event, SampleDone | Preview):
            return event
        stored = await surely(lambda: self.store.get(key), wait=isinstance(event, SampleDone))
        if stored is not None:
            return read_event(content, read_artifact(stored))[0]
        if isinstance(event, Preview):
            return None
        return Failed(self.id, "internal_error", "the result is gone")
