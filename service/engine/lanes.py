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

SHARE = 1.25  # of an entry's own time: a batch that costs no more is shared though it outlasts a tick
CURIOUS = 8  # batches of one in a row after which, and at every power of two from there, two are tried
REGROWTH = 1.01  # of a cap, per batch that used more than half of it: what lacked memory once is tried again


@dataclass(slots=True)
class Queue:
    """The ready items of one lane, oldest first, and what its owners have had of it."""

    items: dict[Item, None] = field(default_factory=dict)
    owners: Shares = field(default_factory=Shares)
    cap: float = float("inf")  # rows that memory allowed
    alone: Item | None = None  # what ran by itself last time while others waited
    lonely: int = 0  # how many batches in a row that was so


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
        """Rows that a batch may hold: what a tick has time for, or costs little more than one entry does anyway."""
        items = self._queues[lane].items
        least = min((item.work.rows for item in items), default=1)
        seconds = max(self._policy.tick_seconds, SHARE * self._costs.predict(lane, least))
        return min(self._most(lane), self._costs.rows_within(lane, seconds))

    def _most(self, lane: Lane) -> float:
        """Rows that memory and the policy allow."""
        most = self._policy.max_batch_rows
        return self._queues[lane].cap if most is None else min(self._queues[lane].cap, most)

    def times(self, lane: Lane, items: tuple[Item, ...], rows: int) -> int:
        """How often a batch's forward is repeated: as the tick's time allows, until one of `items` has had enough."""
        due = min(item.work.times for item in items)
        if due == 1 or not self._costs.knows(lane):
            return 1
        seconds = self._costs.predict(lane, rows)
        return due if seconds <= 0.0 else max(1, min(due, int(self._policy.tick_seconds / seconds)))

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

        Ageing lifts a lane up to the best priority that somebody asked for, never above newcomers of the same.
        `alone`: a single request runs, so its previews delay nobody else and go first.
        """
        lanes = [lane for lane, queue in self._queues.items() if queue.items]
        if not lanes:
            return None
        if len(lanes) > 1:
            asked = min(item.job.ticket.priority for lane in lanes for item in self._queues[lane].items)
            levels = {lane: max(asked, self._level(lane, now)) for lane in lanes}  # age competes, it does not rule
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
            ordered = self._turns_of(lane, queue, now)
            chosen = tuple(takewhile(_within(cap), ordered))
            if len(chosen) == 1:
                chosen = self._with_company(lane, queue, ordered)
        queue.alone = chosen[0] if len(chosen) < min(2, len(queue.items)) else None
        if queue.alone is None:
            queue.lonely = 0
        for item in chosen:
            del queue.items[item]
        return chosen

    def _turns_of(self, lane: Lane, queue: Queue, now: float) -> list[Item]:
        """In order, but what filled the last batch by itself lets its equals go first."""
        ordered = self._ordered(lane, queue, now)
        first, *others = ordered
        if others and first is queue.alone and others[0].job.ticket.priority <= first.job.ticket.priority:
            return [*others, first]
        return ordered

    def _with_company(self, lane: Lane, queue: Queue, ordered: list[Item]) -> tuple[Item, ...]:
        """The first one, now and then with the second: from batches of one nobody learns what two would cost."""
        queue.lonely += 1
        due = queue.lonely >= CURIOUS and queue.lonely.bit_count() == 1
        both = tuple(ordered[:2])
        fits = self._costs.knows(lane) and sum(item.work.rows for item in both) <= self._most(lane)
        return both if due and fits else both[:1]

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
