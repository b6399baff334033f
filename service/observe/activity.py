"""The last batches of the engine, for people who watch it work."""

from collections import deque

from service.engine.batch import StepRecord

KEPT = 1024


class Activity:
    """Batches are numbered from 1, so that every watcher reads on from where it was. Any thread may call."""

    def __init__(self, kept: int = KEPT) -> None:
        self._batches: deque[tuple[int, StepRecord]] = deque(maxlen=kept)
        self.count = 0

    def stepped(self, record: StepRecord) -> None:
        """The engine committed a batch."""
        self.count += 1
        self._batches.append((self.count, record))

    def since(self, number: int) -> list[tuple[int, StepRecord]]:
        """The batches after batch `number` that are still known, oldest first."""
        return [(at, record) for at, record in self._batches.copy() if at > number]
