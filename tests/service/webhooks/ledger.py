"""A ledger in memory, which several couriers share, and which a test may take away."""

from collections.abc import Callable

from service.webhooks.courier import Owed

LEASE_SECONDS = 60.0


class MemoryLedger:
    """now: in seconds, moved on by the test; what is postponed is due once it has passed."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._due: dict[str, tuple[float, str, int]] = {}  # id -> when, url, tries
        self.postponements: list[tuple[str, float]] = []
        self.claims: list[str] = []
        self.away: Exception | None = None
        self.asked = 0

    def add(self, id: str, url: str = "https://hooks.example.com/") -> None:
        self._due[id] = (self._now(), url, 0)

    @property
    def open(self) -> set[str]:
        return set(self._due)

    async def owed(self, limit: int) -> list[Owed]:
        self._reach()
        due = [id for id, (at, _, _) in self._due.items() if at <= self._now()][:limit]
        claimed = [Owed(id, *self._due[id][1:]) for id in due]
        for owed in claimed:
            self._due[owed.id] = (self._now() + LEASE_SECONDS, owed.url, owed.tries + 1)
        self.claims += due
        return claimed

    async def settled(self, id: str) -> None:
        self._reach()
        self._due.pop(id, None)

    async def postponed(self, id: str, seconds: float) -> None:
        self._reach()
        self.postponements.append((id, seconds))
        if id in self._due:
            self._due[id] = (self._now() + seconds, *self._due[id][1:])

    def _reach(self) -> None:
        self.asked += 1
        if self.away is not None:
            raise self.away
