"""How fast samples really advance among others: what tells that a deadline will be missed."""

from collections.abc import Iterable
from math import ceil, floor

from models.decoder import Kind
from service.engine.cost import CostModel
from service.engine.entry import Entry, Item, Lane

NEWEST = 0.5  # weight of the newest measurement
MARGIN = 0.9  # share of the remaining time that is planned with


def blend(old: float, new: float) -> float:
    return new if old == 0.0 else old + NEWEST * (new - old)


class Pace:
    """Per model: wall seconds between two steps of a sample, and seconds to finish one."""

    def __init__(self, costs: CostModel) -> None:
        self._costs = costs
        self._step: dict[str, float] = {}
        self._finish: dict[str, float] = {}

    def stepped(self, entry: Entry, steps: int, now: float) -> None:
        """`entry` advanced by `steps`."""
        model = entry.lane.model
        seconds = (now - entry.since) / steps
        entry.pace = blend(entry.pace, seconds)
        self._step[model] = blend(self._step.get(model, 0.0), seconds)
        entry.since = now

    def finished(self, model: str, samples: int, elapsed: float) -> None:
        self._finish[model] = blend(self._finish.get(model, 0.0), elapsed / samples)

    def steps_within(self, entry: Entry, seconds: float, lane: Iterable[Item], rows_cap: float) -> int:
        """Steps that `entry` can still make in `seconds` and be finished, its siblings too.

        A step lasts as long as it did lately, and no less than the batches that serve everybody
        who comes before it in its lane.
        """
        ahead = sum(i.work.rows for i in lane if i.job.urgency <= entry.job.urgency)
        ahead = max(ahead, entry.work.rows)
        width = max(min(rows_cap, ahead), entry.work.rows)
        served = ceil(ahead / width) * self._costs.predict(entry.lane, width)
        step = max(served, entry.pace or self._step.get(entry.lane.model, 0.0))
        finish = self._finish.get(entry.lane.model)
        if finish is None:
            finish = self._costs.predict(self._finish_lane(entry), entry.work.rows)
        return floor((MARGIN * seconds - finish * len(entry.job.entries)) / step)

    @staticmethod
    def _finish_lane(entry: Entry) -> Lane:
        return Lane(entry.lane.model, Kind.FINISH, entry.lane.key)
