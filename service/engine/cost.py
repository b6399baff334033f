"""How long a forward takes: seconds ~ a + b * rows, learned per lane from what was measured."""

from collections.abc import Hashable
from dataclasses import dataclass

KEEP = 0.9  # weight of the past after one more measurement
FORGET = 0.2  # the same when the past was far too slow: noise never makes a forward faster
OUTLIER = 4.0  # a measurement counts as at most so many times its prediction
PULL = 0.02  # how strongly the slope leans to "proportional to rows" where row counts hardly vary
LEAST_SLOPE = 0.2  # share of the mean cost per row that growth is at least assumed to cost


@dataclass(slots=True)
class Line:
    """Exponentially weighted moments of (rows, seconds)."""

    count: int = 0
    weight: float = 0.0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def observe(self, rows: int, seconds: float) -> None:
        keep = KEEP
        if self.count:
            expected = self.predict(rows)
            if seconds < 0.5 * expected:
                keep = FORGET
            elif self.count > 2:
                seconds = min(seconds, OUTLIER * expected)
        self.count += 1
        self.weight = keep * self.weight + 1
        self.x = keep * self.x + rows
        self.y = keep * self.y + seconds
        self.xx = keep * self.xx + rows * rows
        self.xy = keep * self.xy + rows * seconds

    def coefficients(self) -> tuple[float, float]:
        x, y = self.x / self.weight, self.y / self.weight
        even = y / x
        pull = PULL * x * x
        covariance = self.xy / self.weight - x * y
        variance = self.xx / self.weight - x * x
        slope = (covariance + pull * even) / (variance + pull)
        slope = min(max(slope, LEAST_SLOPE * even), even)
        return y - slope * x, slope

    def predict(self, rows: float) -> float:
        a, b = self.coefficients()
        return a + b * rows


class CostModel:
    """One line per lane.

    A lane not seen yet is assumed to cost `row_seconds` per row, and is tried with one entry.
    """

    def __init__(self, row_seconds: float) -> None:
        self._row_seconds = row_seconds
        self._lines: dict[Hashable, Line] = {}

    def observe(self, lane: Hashable, rows: int, seconds: float) -> None:
        self._lines.setdefault(lane, Line()).observe(rows, seconds)

    def coefficients(self, lane: Hashable) -> tuple[float, float]:
        """Seconds of an empty forward, and seconds per row."""
        line = self._lines.get(lane)
        return line.coefficients() if line else (0.0, self._row_seconds)

    def knows(self, lane: Hashable) -> bool:
        """Whether it was measured."""
        return lane in self._lines

    def predict(self, lane: Hashable, rows: float) -> float:
        a, b = self.coefficients(lane)
        return a + b * rows

    def rows_within(self, lane: Hashable, seconds: float) -> float:
        """The largest row count predicted to take at most `seconds`; 0 before a measurement."""
        if not self.knows(lane):
            return 0.0
        a, b = self.coefficients(lane)
        return (seconds - a) / b if b > 0 else float("inf")
