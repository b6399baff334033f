"""How much of its chains a decoder makes while an engine drives it."""

import time
from collections.abc import Sequence as Seq
from typing import Any

from models.decoder import IterativeDecoder, Kind, Sequence, Work
from service.engine.engine import Engine

BATCHES, POLL = 3, 0.01


class ChainMeter:
    """Looks over the shoulder of one decoder: when each batch of chains was done, and its rows times reverse steps."""

    def __init__(self, engine: Engine, decoder: IterativeDecoder) -> None:
        self._done: list[tuple[float, int]] = []
        self._now = engine.now
        watched: Any = decoder
        self._run = watched.run
        watched.run = self._watch

    def _watch(self, work: Work, seqs: Seq[Sequence]) -> None:
        self._run(work, seqs)
        if work.kind is Kind.CHAIN:
            self._done.append((self._now(), work.rows * work.times))

    def rate(self, seconds: float) -> float:
        """Row steps per second in a window about that long, which begins and ends with the end of a batch."""
        self._done.clear()
        time.sleep(seconds)
        while len(self._done) < BATCHES:
            time.sleep(POLL)
        (first, _), *rest = self._done
        return sum(rows for _, rows in rest) / (rest[-1][0] - first)
