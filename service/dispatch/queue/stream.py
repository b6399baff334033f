"""The events of one run of a request out of Redis, with their pictures out of the store."""

from collections.abc import AsyncIterator
from dataclasses import replace

from service.artefacts.base import Store
from service.dispatch.positions import POSITION
from service.dispatch.queue.reach import surely
from service.dispatch.queue.records import Records
from service.dispatch.queue.wire import UnknownEvent, read_artifact, read_event
from service.engine.events import Done, Event, Failed, Preview, SampleDone, Terminal, Waiting

LARGEST = 2**64 - 1


class Stream:
    """after: the `at` of the last event that is known already; samples: how many there will be, 0 if that is unknown.

    Raises ValueError where `after` cannot be one.
    """

    def __init__(self, records: Records, store: Store, id: str, run: str, after: str = "", samples: int = 0) -> None:
        self.records, self.store, self.id, self.run, self.samples = records, store, id, run, samples
        self._number = _numbers(after)
        self._place: int | None = None
        self._started = False

    @property
    def after(self) -> str:
        """Where it is, "" before the first event."""
        return "{}-{}".format(*self._number) if any(self._number) else ""

    async def read(self) -> AsyncIterator[Event | None]:
        """To the last event. None when nothing came for a second. Interrupted connections are taken up again."""
        seen = await self._seen()
        while True:
            entries = await surely(lambda: self.records.events(self.id, self.run, self.after or "0"))
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
                self._number = _numbers(at)
                if event is not None:
                    yield replace(event, at=at)
                    if isinstance(event, Terminal):
                        return

    async def end(self, lost: bool = True) -> Event | None:
        """The last event of a run that is over and has been read to its end; None where there is more to come. lost:
        whether a request that Redis does not know is over.
        """
        over = await surely(lambda: self.records.over(self.id, self.run))
        if not (lost if over is None else over):
            return None
        newest = await surely(lambda: self.records.so_far(self.id, self.run, 1))
        if not newest:
            return Failed(self.id, "internal_error", "the request is gone")
        [(at, content)] = newest
        return replace(read_event(content)[0], at=at) if _numbers(at) <= self._number else None

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
        made = await surely(lambda: self.records.made(self.id, self.run)) or {}
        return {sample for sample, (at, _) in made.items() if _numbers(at) <= self._number}

    async def _told(self, content: bytes, seen: set[int]) -> list[Event | None]:
        """What an entry tells; before Done also the samples that the capped stream has lost."""
        event = await self._event(content)
        if isinstance(event, SampleDone):
            seen.add(event.report.sample)
        if not isinstance(event, Done) or 0 < self.samples == len(seen):
            return [event]
        made = await surely(lambda: self.records.made(self.id, self.run))
        if made is None:
            return [Failed(self.id, "internal_error", "the queue is gone")]
        late = [await self._event(kept) for sample, (_, kept) in sorted(made.items()) if sample not in seen]
        if lost := next((one for one in late if isinstance(one, Failed)), None):
            return [lost]
        return [*late, event]

    async def _event(self, content: bytes) -> Event | None:
        """None for a preview whose picture is gone by now, and for what a newer version tells."""
        try:
            event, key = read_event(content)
        except UnknownEvent:
            return None
        if not isinstance(event, SampleDone | Preview):
            return event
        stored = await surely(lambda: self.store.get(key), wait=isinstance(event, SampleDone))
        if stored is not None:
            return read_event(content, read_artifact(stored))[0]
        if isinstance(event, Preview):
            return None
        return Failed(self.id, "internal_error", "the result is gone")


def _numbers(position: str) -> tuple[int, int]:
    """To compare by. Raises ValueError."""
    if not position:
        return 0, 0
    found = POSITION.fullmatch(position)
    if found is None or max(int(found[1]), int(found[2])) > LARGEST:
        raise ValueError(f"not a position: {position[:40]!r}")
    return int(found[1]), int(found[2])
