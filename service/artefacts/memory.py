"""Artefacts in this process's memory, for a server that is its own worker."""

import heapq
from collections.abc import Callable
from time import monotonic

from service.artefacts.base import StoreFull, checked

DEFAULT_BYTES = 256 << 20


class MemoryStore:
    """Holds `max_bytes` of keys and contents; what would end soonest makes room for what comes."""

    def __init__(self, max_bytes: int = DEFAULT_BYTES, now: Callable[[], float] = monotonic) -> None:
        self._max_bytes = max_bytes
        self._now = now
        self._kept: dict[str, tuple[float, bytes]] = {}
        self._ends: list[tuple[float, str]] = []  # a heap; entries of replaced and deleted keys are skipped
        self._bytes = 0

    async def put(self, key: str, content: bytes, seconds: float) -> None:
        size = len(checked(key)) + len(content)
        if size > self._max_bytes:
            raise StoreFull(f"{size} bytes, where all artefacts together may have {self._max_bytes}")
        self._forget(key)
        self._make_room(self._max_bytes - size)
        until = self._now() + seconds
        self._kept[key] = (until, content)
        self._bytes += size
        heapq.heappush(self._ends, (until, key))
        if len(self._ends) > 2 * len(self._kept) + 64:
            self._ends = [(until, key) for key, (until, _) in self._kept.items()]
            heapq.heapify(self._ends)

    async def get(self, key: str) -> bytes | None:
        self._make_room(self._max_bytes)
        kept = self._kept.get(checked(key))
        return None if kept is None else kept[1]

    async def delete(self, key: str) -> None:
        self._forget(checked(key))

    async def close(self) -> None:
        self._kept.clear()
        self._ends.clear()
        self._bytes = 0

    def _forget(self, key: str) -> None:
        if (kept := self._kept.pop(key, None)) is not None:
            self._bytes -= len(key) + len(kept[1])

    def _make_room(self, most: int) -> None:
        """Drop what is over, then what ends soonest, until no more than `most` bytes are left."""
        while self._ends:
            until, key = self._ends[0]
            if until > self._now() and self._bytes <= most:
                return
            heapq.heappop(self._ends)
            if self._kept.get(key, (None,))[0] == until:
                self._forget(key)
