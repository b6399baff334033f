"""The lanes: what is ready to run, whose turn it is, and how much of a lane one batch takes."""

from collections.abc import Callable
from itertools import takewhile

from models.decoder import Kind
from service.engine.cost import CostModel
from service.engine.entry import Item, Lane
from service.engine.fairness import Shares, interleave
from service.engine.policy import Policy


class Lanes:
    """Ready items by lane. Models share time, lanes share their model's, owners share batches."""

    def __init__(self, policy: Policy, costs: CostModel) -> None:
        self._policy = policy
        self._costs = costs
        self._ready: dict[Lane, dict[Item, None]] = {}
        self._caps: dict[Lane, int] = {}
        self._models = Shares()
        self._turns = Shares()
        self._owners = Shares()

    def join(self, item: Item) -> None:
        self._ready.setdefault(item.lane, {})[item] = None

    def leave(self, item: Item) -> None:
        self._ready[item.lane].pop(item, None)

    def ready(self, lane: Lane) -> dict[Item, None]:
        return self._ready.get(lane, {})

    def forget(self, model: str) -> None:
        """The model is gone: what was learned about its lanes goes too."""
        for lane in [lane for lane in self._ready if lane.model == model]:
            del self._ready[lane]
            self._caps.pop(lane, None)
            self._costs.forget(lane)

    def halve(self, lane: Lane, rows: int) -> None:
        """A batch of `rows` did not fit in memory."""
        self._caps[lane] = max(1, rows // 2)

    def rows_cap(self, lane: Lane) -> float:
        """Rows that a batch may hold; one entry may always run."""
        limits = [self._costs.rows_within(lane, self._policy.tick_seconds)]
        if self._policy.max_batch_rows is not None:
            limits.append(self._policy.max_batch_rows)
        if lane in self._caps:
            limits.append(self._caps[lane])
        return min(limits)

    def charge(self, lane: Lane, items: tuple[Item, ...], rows: int, elapsed: float) -> None:
        """Book measured seconds to whom they served."""
        self._models.charge(lane.model, elapsed)
        weight = self._policy.weights[Kind.FINISH if lane.urgent else lane.kind]
        self._turns.charge(lane, elapsed / weight)
        for item in items:
            self._owners.charge(item.job.ticket.owner, elapsed * item.work.rows / rows)

    def choose(self, now: float, alone: bool) -> Lane | None:
        """Priority, then the least served model, then its least served lane.

        `alone`: a single request runs, its previews delay nobody else and go first.
        """
        aging = self._policy.aging
        levels = {
            lane: min(item.job.level(now, aging) for item in items)
            for lane, items in self._ready.items()
            if items
        }
        if not levels:
            return None
        best = min(levels.values())
        lanes = [lane for lane, level in levels.items() if level == best]
        if alone:
            lanes = [lane for lane in lanes if lane.kind is Kind.PREVIEW] or lanes
        model = self._models.least(dict.fromkeys(lane.model for lane in lanes))
        return self._turns.least([lane for lane in lanes if lane.model == model])

    def take(self, lane: Lane, now: float) -> tuple[Item, ...]:
        """What the tick's time and memory allow: by level, owner, urgency and age."""
        items = self._ready[lane]
        self._owners.least(dict.fromkeys(item.job.ticket.owner for item in items))
        cap = self.rows_cap(lane)
        chosen = tuple(items)
        if sum(item.work.rows for item in chosen) > cap:
            fits = _within(cap)
            chosen = tuple(takewhile(fits, self._ordered(lane, now)))
        for item in chosen:
            del items[item]
        return chosen

    def _ordered(self, lane: Lane, now: float) -> list[Item]:
        aging = self._policy.aging
        seconds = self._costs.predict(lane, 1)
        levels = {item: item.job.level(now, aging) for item in self._ready[lane]}
        return interleave(
            sorted(levels, key=lambda i: (levels[i], i.job.urgency, i.job.number)),
            owner=lambda item: item.job.ticket.owner,
            level=levels.__getitem__,
            seconds=lambda item: seconds * item.work.rows,
            shares=self._owners,
        )


def _within(cap: float) -> Callable[[Item], bool]:
    """True for the first item, then while the sum of rows stays within `cap`."""
    total = 0

    def fits(item: Item) -> bool:
        nonlocal total
        first, total = total == 0, total + item.work.rows
        return first or total <= cap

    return fits
