"""Deadlines of requests, nearest first."""

from collections.abc import Callable, Iterator
from heapq import heappop, heappush


class Alarms:
    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []

    def set(self, when: float, ticket_id: str) -> None:
        heappush(self._heap, (when, ticket_id))

    def due(self, now: float) -> Iterator[str]:
        """Take out whoever's time has come."""
        while self._heap and self._heap[0][0] <= now:
            yield heappop(self._heap)[1]

    def next(self, alive: Callable[[str], object]) -> float | None:
        """When the next one is due that is still `alive`."""
        while self._heap and not alive(self._heap[0][1]):
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None
