"""Fair shares in measured seconds: between models, between a model's lanes, between owners."""

from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

REMEMBERED = 256  # keys that are away; beyond it they come back as new ones


class Shares:
    """Deficit round robin whose costs are known afterwards: the least served ready key goes next.

    A key that was away resumes at the service of the last chosen one: absence earns no credit, and
    a turn that took too long is paid back in the following ones.
    """

    def __init__(self) -> None:
        self._served: dict[Hashable, float] = {}
        self._floor = 0.0

    def charge(self, key: Hashable, seconds: float) -> None:
        self._served[key] = max(self._served.get(key, 0.0), self._floor) + seconds

    def served(self, key: Hashable) -> float:
        return max(self._served.get(key, 0.0), self._floor)

    def least(self, keys: Collection[K]) -> K:
        """The key whose turn it is; the first of equals."""
        chosen = min(keys, key=self.served)
        self._floor = self.served(chosen)
        if len(self._served) > REMEMBERED + len(keys):
            self._served = {key: self.served(key) for key in keys}
        return chosen


def interleave(
    items: Iterable[T],
    owner: Callable[[T], str],
    level: Callable[[T], int],
    seconds: Callable[[T], float],
    shares: Shares,
) -> list[T]:
    """Order `items`, which are sorted within each owner: lower level first, then the least served
    owner, each item booked as if it had run."""
    queues: dict[str, deque[T]] = {}
    for item in items:
        queues.setdefault(owner(item), deque()).append(item)
    served = {name: shares.served(name) for name in queues}
    ordered: list[T] = []
    while queues:
        name = min(queues, key=lambda n: (level(queues[n][0]), served[n]))
        item = queues[name].popleft()
        served[name] += seconds(item)
        ordered.append(item)
        if not queues[name]:
            del queues[name]
    return ordered
