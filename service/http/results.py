"""Finished pictures, kept for a while so that an edit can name one instead of uploading it."""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

import numpy as np

from models.family import Understood


@dataclass(frozen=True)
class Result:
    """pixels: uint8 [H, W, C] as delivered; tokens: int [L], the grid that `model` decoded them from."""

    model: str
    owner: str
    understood: Understood
    pixels: np.ndarray
    tokens: np.ndarray

    @property
    def size(self) -> int:
        return int(self.pixels.nbytes + self.tokens.nbytes)


class Results:
    """Bounded by bytes and age; the oldest go first."""

    def __init__(self, max_bytes: int, seconds: float, now: Callable[[], float] = monotonic) -> None:
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._now = now
        self._kept: OrderedDict[str, tuple[float, Result]] = OrderedDict()
        self._bytes = 0

    def keep(self, result: Result) -> str:
        """Store and return the new id."""
        id = f"img_{secrets.token_hex(12)}"
        self._kept[id] = (self._now() + self._seconds, result)
        self._bytes += result.size
        self._expire()
        return id

    def find(self, id: str, owner: str) -> Result | None:
        """The result, unless it is gone or somebody else's."""
        self._expire()
        _, result = self._kept.get(id, (0.0, None))
        return result if result is not None and result.owner == owner else None

    def _expire(self) -> None:
        while self._kept:
            id, (until, result) = next(iter(self._kept.items()))
            if until > self._now() and self._bytes <= self._max_bytes:
                return
            del self._kept[id]
            self._bytes -= result.size
