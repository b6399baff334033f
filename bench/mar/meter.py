"""How much of its chains an engine makes."""

import time

from models.decoder import Kind
from service.engine.batch import StepRecord
from service.engine.engine import Engine

BATCHES, POLL = 3, 0.01


class ChainMeter:
    """Hears of every batch of chains: when it was done, and its rows times reverse steps."""

    def __init__(self, engine: Engine) -> None:
        self._done: list[tuple[float, int]] = []
        engine.watchers.append(self._saw)

    def _saw(self, record: StepRecord) -> None:
        if record.kind is Kind.CHAIN:
            self._done.append((record.ended, record.rows * record.times))

    def rate(self, seconds: float) -> float:
        """Row steps per second in a window about that long, which begins and ends with the end of a batch."""
        self._done.clear()
        time.sleep(seconds)
        while len(self._done) < BATCHES:
            time.sleep(POLL)
        (first, _), *rest = self._done
        return sum(rows for _, rows in rest) / (rest[-1][0] - first)
