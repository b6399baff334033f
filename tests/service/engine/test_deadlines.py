"""Deadlines and overload: who is shortened, by how much, and who never."""

import pytest

from models.decoder import Kind
from models.decoding.plan import Plan
from service.engine.batch import Batch
from service.engine.events import Done, Failed, SampleDone
from service.engine.scheduler import StepScheduler
from tests.fakes import Outcome, ToyDecoder, affine, scheduler_with, simulate, toy_ticket


def warmed_up(**policy: object) -> tuple[StepScheduler, float]:
    """A scheduler that has measured its lanes; a lone step takes 5.7 ms, a finish 4.1 ms."""
    scheduler = scheduler_with(ToyDecoder(), **policy)
    return scheduler, simulate(scheduler, [(0.0, toy_ticket("warm", steps=16))]).ended


def final(outcome: Outcome, id: str) -> SampleDone:
    return next(event for event in outcome.of(id) if isinstance(event, SampleDone))


@pytest.mark.parametrize("priority", [0, 1, 2])
@pytest.mark.parametrize("max_sequences", [1, 64])
def test_what_is_late_fails_at_the_next_tick_waiting_or_running(priority: int, max_sequences: int) -> None:
    decoder = ToyDecoder()
    scheduler = scheduler_with(decoder, max_sequences=max_sequences)
    script = [(0.0, toy_ticket(str(i), seed=i, steps=16, deadline=0.03)) for i in range(4)]
    outcome = simulate(scheduler, script)
    for i in range(4):
        event = outcome.last(str(i))
        assert isinstance(event, Failed) and event.code == "deadline_exceeded"
        assert 0.03 <= outcome.when(str(i)) < 0.04
    assert not decoder.live and scheduler.memory == 0


def test_a_deadline_shortens_the_plan_of_those_who_allow_it() -> None:
    scheduler, now = warmed_up()
    ticket = toy_ticket("a", steps=16, deadline=now + 0.06, allow_fewer_steps=True)
    outcome = simulate(scheduler, [(now, ticket)])
    report = final(outcome, "a").report
    assert report.shortened
    assert 6 <= Plan.parse(report.plan).steps <= 9
    assert outcome.when("a") <= now + 0.06


def test_a_shortened_plan_is_reported_and_reveals_all() -> None:
    scheduler, now = warmed_up()
    ticket = toy_ticket("a", steps=16, reuse=1, deadline=now + 0.04, allow_fewer_steps=True)
    outcome = simulate(scheduler, [(now, ticket)])
    done = final(outcome, "a")
    plan = Plan.parse(done.report.plan)
    assert plan.total == 16 and plan.steps < 16
    assert done.report.steps_full + done.report.steps_reuse == plan.steps
    assert (done.artifact.tokens < 2).all()


def test_a_deadline_far_away_shortens_nothing() -> None:
    scheduler, now = warmed_up()
    ticket = toy_ticket("a", steps=16, deadline=now + 1.0, allow_fewer_steps=True)
    report = final(simulate(scheduler, [(now, ticket)]), "a").report
    assert not report.shortened and Plan.parse(report.plan).steps == 16


def test_what_comes_before_the_first_step_is_not_its_pace() -> None:
    """Forty forwards, then sixteen steps: in time for both, and so is a neighbour that came with them."""
    scheduler = scheduler_with(ToyDecoder(start=40))
    now = simulate(scheduler, [(0.0, toy_ticket("warm", steps=16))]).ended
    alone = simulate(scheduler, [(now, toy_ticket("b", steps=16))]).ended - now
    now += alone
    ticket = toy_ticket("a", steps=16, deadline=now + 1.2 * alone, allow_fewer_steps=True)
    report = final(simulate(scheduler, [(now, ticket)]), "a").report
    assert not report.shortened


def test_nobody_else_is_ever_shortened() -> None:
    scheduler, now = warmed_up()
    script = [
        (now, toy_ticket("plain", steps=16)),
        (now, toy_ticket("firm", steps=16, deadline=now + 0.5)),
        (now, toy_ticket("loose", steps=16, deadline=now + 0.06, allow_fewer_steps=True)),
    ]
    outcome = simulate(scheduler, script)
    assert [final(outcome, id).report.shortened for id in ("plain", "firm", "loose")] == [False, False, True]


def test_no_plan_falls_below_the_fewest_steps() -> None:
    scheduler, now = warmed_up()
    ticket = toy_ticket("a", steps=16, deadline=now + 0.02, allow_fewer_steps=True)
    assert Plan.parse(final(simulate(scheduler, [(now, ticket)]), "a").report.plan).steps == 2


def test_the_siblings_and_neighbours_that_run_first_are_counted() -> None:
    """Forwards of one sample only: four samples take turns, and the plan must fit their sum."""
    scheduler, now = warmed_up(tick_seconds=0.006)
    ticket = toy_ticket("a", n=4, steps=16, deadline=now + 0.25, allow_fewer_steps=True)
    outcome = simulate(scheduler, [(now, ticket)])
    assert isinstance(outcome.last("a"), Done)
    assert outcome.when("a") <= now + 0.25
    done = [event for event in outcome.of("a") if isinstance(event, SampleDone)]
    assert all(event.report.shortened for event in done)


def test_a_slow_spell_shortens_what_already_runs() -> None:
    scheduler, now = warmed_up()
    ticket = toy_ticket("a", steps=16, deadline=now + 0.2, allow_fewer_steps=True)

    def seconds(batch: Batch) -> float:
        slow = batch.kind is Kind.STEP and batch.sequences[0].step > 6
        return 0.03 if slow else affine(batch)

    outcome = simulate(scheduler, [(now, ticket)], seconds)
    report = final(outcome, "a").report
    assert report.shortened and outcome.when("a") <= now + 0.2


def test_a_crowded_waiting_room_sheds_steps_of_those_who_allow_it() -> None:
    scheduler = scheduler_with(ToyDecoder(), max_waiting=8, max_sequences=2, shed_mark=0.5)
    script = [(0.0, toy_ticket(str(i), seed=i, steps=16, allow_fewer_steps=i % 2 == 0)) for i in range(8)]
    outcome = simulate(scheduler, script)
    steps = {i: Plan.parse(final(outcome, str(i)).report.plan).steps for i in range(8)}
    assert all(steps[i] == 16 for i in range(1, 8, 2))
    assert steps[0] == steps[2] == 4, "admitted while half the room was taken"
    assert steps[6] == 16, "admitted when it was nearly empty"
