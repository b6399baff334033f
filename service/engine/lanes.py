"""The lanes: what is ready to run, whose turn it is, and how much of a lane one batch takes."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile

from models.decoder import Kind
from service.engine.cost import CostModel
from service.engine.entry import Item, Lane
from service.engine.fairness import Shares, interleave
from service.engine.policy import Policy

REGROWTH = 1.01  # of a cap, per batch that used more than half of it: what lacked memory once is tried again


@dataclass(slots=True)
class Queue:
    """The ready items of one lane, oldest first, and what its owners have had of it."""

    items: dict[Item, None] = field(default_factory=dict)
    owners: Shares = field(default_factory=Shares)
    cap: float = float("inf")  # rows that memory allowed


class Lanes:
    """Models share time, lanes share the time of their model, owners share a lane's batches."""

    def __init__(self, policy: Policy, costs: CostModel) -> None:
        self._policy = policy
        self._costs = costs
        self._queues: defaultdict[Lane, Queue] = defaultdict(Queue)
        self._models = Shares()
        self._turns: defaultdict[str, Shares] = defaultdict(Shares)  # by model

    def join(self, item: Item) -> None:
        self._queues[item.lane].items[item] = None

    def leave(self, item: Item) -> None:
        if queue := self._queues.get(item.lane):
            queue.items.pop(item, None)

    def ready(self, lane: Lane) -> Mapping[Item, None]:
        return self._queues[lane].items

    def halve(self, lane: Lane, rows: int) -> None:
        """A batch of `rows` did not fit in memory."""
        self._queues[lane].cap = max(1, rows // 2)

    def rows_cap(self, lane: Lane) -> float:
        """Rows that a batch may hold; one entry may always run."""
        cap = min(self._queues[lane].cap, self._costs.rows_within(lane, self._policy.tick_seconds))
        most = self._policy.max_batch_rows
        return cap if most is None else min(cap, most)

    def times(self, lane: Lane, items: tuple[Item, ...], rows: int) -> int:
        """How often a batch's forward is repeated: as the tick's time allows, until one of `items` has had enough."""
        due = min(item.work.times for item in items)
        if due == 1 or not self._costs.knows(lane):
            return 1
        return max(1, min(due, int(self._policy.tick_seconds / self._costs.predict(lane, rows))))

    def charge(self, lane: Lane, items: tuple[Item, ...], rows: int, elapsed: float) -> None:
        """Book measured seconds to whom they served."""
        self._models.charge(lane.model, elapsed)
        weight = self._policy.weights[Kind.FINISH if lane.urgent else lane.kind]
        self._turns[lane.model].charge(lane, elapsed / weight)
        queue = self._queues[lane]
        for item in items:
            queue.owners.charge(item.job.ticket.owner, elapsed * item.work.rows / rows)
        if rows > queue.cap / 2:
            queue.cap *= REGROWTH

    def choose(self, now: float, alone: bool) -> Lane | None:
        """Priority, then the least served model, then its least served lane.

        `alone`: a single request runs, so its previews delay nobody else and go first.
        """
        lanes = [lane for lane, queue in self._queues.items() if queue.items]
        if not lanes:
            return None
        if len(lanes) > 1:
            levels = {lane: self._level(lane, now) for lane in lanes}
            best = min(levels.values())
            lanes = [lane for lane in lanes if levels[lane] == best]
        if alone:
            lanes = [lane for lane in lanes if lane.kind is Kind.PREVIEW] or lanes
        model = self._models.least(dict.fromkeys(lane.model for lane in lanes))
        return self._turns[model].least([lane for lane in lanes if lane.model == model])

    def _level(self, lane: Lane, now: float) -> int:
        aging = self._policy.aging
        return min(item.job.level(now, aging) for item in self._queues[lane].items)

    def take(self, lane: Lane, now: float) -> tuple[Item, ...]:
        """What the tick's time and memory allow: by level, owner, urgency and age."""
        queue, cap = self._queues[lane], self.rows_cap(lane)
        queue.owners.least(dict.fromkeys(item.job.ticket.owner for item in queue.items))
        chosen = tuple(queue.items)
        if sum(item.work.rows for item in chosen) > cap:
            chosen = tuple(takewhile(_within(cap), self._ordered(lane, queue, now)))
        for item in chosen:
            del queue.items[item]
        return chosen

    def _ordered(self, lane: Lane, queue: Queue, now: float) -> list[Item]:
        row_seconds = self._costs.predict(lane, 1)
        levels = {item: item.job.level(now, self._policy.aging) for item in queue.items}
        return interleave(
            sorted(levels, key=lambda i: (levels[i], i.job.urgency, i.job.number)),
            owner=lambda item: item.job.ticket.owner,
            level=levels.__getitem__,
            seconds=lambda item: row_seconds * item.work.rows,
            shares=queue.owners,
        )


def _within(cap: float) -> Callable[[Item], bool]:
    """True for the first item, then while the sum of rows stays within `cap`."""
    total = 0

    def fits(item: Item) -> bool:
        nonlocal total
        first, total = total == 0, total + item.work.rows
        return first or total <= cap

    return fits
