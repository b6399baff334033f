"""Who leaves the waiting room first, and what a full one answers."""

from itertools import count

import pytest

from service.engine.entry import Job
from service.engine.policy import Policy
from service.engine.request import Priority
from service.engine.waiting import DrainRate, WaitingRoom
from tests.fakes import toy_ticket

numbers = count()


def job(id: str, at: float = 0.0, **ticket: object) -> Job:
    made = toy_ticket(id, **ticket)  # type: ignore[arg-type]
    urgency = at + 60.0 if made.deadline is None else min(made.deadline, at + 60.0)
    return Job(made, next(numbers), at, urgency)


def leaving(*jobs: Job, now: float = 1.0, held: dict[str, int] | None = None) -> list[str]:
    room = WaitingRoom(Policy(aging=15.0))
    for one in jobs:
        room.add(one)
    order = []
    while one := room.next(now, lambda _: True, held or {}):
        order.append(one.ticket.id)
    return order


def test_priority_comes_first_then_deadline_then_age() -> None:
    jobs = [
        job("low", priority=Priority.LOW),
        job("old"),
        job("young", at=0.5),
        job("soon", at=0.9, deadline=3.0),
        job("high", at=0.9, priority=Priority.HIGH),
    ]
    assert leaving(*jobs) == ["high", "soon", "old", "young", "low"]


def test_the_owner_with_fewer_running_samples_goes_first() -> None:
    jobs = [job("a", owner="a"), job("b", owner="b")]
    assert leaving(*jobs, held={"a": 3, "b": 1}) == ["b", "a"]


def test_waiting_lifts_a_low_priority_to_the_top_and_past_newcomers() -> None:
    old, fresh = job("old", priority=Priority.LOW), job("new", at=30.0, priority=Priority.HIGH)
    assert leaving(old, fresh, now=29.9) == ["new", "old"]
    assert leaving(old, fresh, now=30.1) == ["old", "new"]


def test_one_that_does_not_fit_is_overtaken_for_a_while_only() -> None:
    room = WaitingRoom(Policy(bypass=5.0))
    room.add(job("big"))
    room.add(job("small"))

    def small(one: Job) -> bool:
        return one.ticket.id == "small"

    assert room.next(5.1, small, {}) is None
    taken = room.next(4.9, small, {})
    assert taken is not None and taken.ticket.id == "small"


def test_a_model_that_still_loads_holds_nobody_back() -> None:
    room = WaitingRoom(Policy())
    room.add(job("loading", model="other"))
    room.add(job("ready"))
    taken = room.next(1000.0, lambda one: None if one.ticket.model == "other" else True, {})
    assert taken is not None and taken.ticket.id == "ready"
    assert len(room) == 1


def test_retry_after_follows_the_measured_rate() -> None:
    policy = Policy(max_waiting=64, retry_after=5.0)
    fast, slow, unknown = DrainRate(policy), DrainRate(policy), DrainRate(policy)
    for drain, interval in ((fast, 0.25), (slow, 2.0)):
        drain.restart(100.0)
        for number in range(1, 50):
            drain.ended(100.0 + number * interval)
    assert fast.refusal(100.0 + 49 * 0.25).retry_after == pytest.approx(4.0, rel=0.1)
    assert slow.refusal(100.0 + 49 * 2.0).retry_after == pytest.approx(32.0, rel=0.1)
    assert unknown.refusal(0.0).retry_after == 5.0


def test_retry_after_is_kept_within_a_minute() -> None:
    drain = DrainRate(Policy())
    drain.restart(0.0)
    drain.ended(1000.0)
    assert drain.refusal(1000.0).retry_after == 60.0


def test_those_who_wait_hear_of_their_place_when_it_changes() -> None:
    room = WaitingRoom(Policy())
    for one in (job("a"), job("b"), job("c", at=0.5)):
        room.add(one)
    assert [(e.request, e.place) for e in room.moved(1.0, {})] == [("a", 1), ("b", 2), ("c", 3)]
    assert room.moved(1.0, {}) == []
    room.pop("a")
    assert [(e.request, e.place) for e in room.moved(2.0, {})] == [("b", 1), ("c", 2)]
    room.add(job("urgent", at=2.0, priority=Priority.HIGH))
    assert [(e.request, e.place) for e in room.moved(2.0, {})] == [("urgent", 1), ("b", 2), ("c", 3)]
