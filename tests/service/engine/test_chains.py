"""Chains of forwards: as many at a time as a tick has room for, joined in the middle, never run past their end."""

from random import Random

import numpy as np
import pytest

from models.decoder import Kind
from service.engine.batch import Batch
from service.engine.events import Done, Failed, Progress
from tests.fakes import Action, Outcome, ToyDecoder, scheduler_with, simulate, toy_spec, toy_ticket

TICK = 0.05  # seven forwards of a few rows


def cancel(id: str) -> Action:
    return lambda scheduler, now: scheduler.cancel(id, now)


def chains(outcome: Outcome) -> list[tuple[float, Batch]]:
    return [(at, batch) for at, batch in outcome.batches if batch.kind is Kind.CHAIN]


def test_a_lone_chain_runs_in_slices_of_a_tick() -> None:
    decoder = ToyDecoder(chain=20)
    outcome = simulate(scheduler_with(decoder, tick_seconds=TICK), [(0.0, toy_ticket("a", steps=2))])
    assert isinstance(outcome.last("a"), Done)
    times = [batch.work.times for _, batch in chains(outcome)]
    assert times[0] == 1, "nothing was measured yet"
    assert sum(times) == 40 and max(times) > 5
    assert all(batch.predicted <= TICK for _, batch in chains(outcome)[1:])


def test_newcomers_join_in_mid_chain_and_leave_at_their_own_end() -> None:
    decoder = ToyDecoder(toy_spec(side=4), chain=30)
    script = [(0.03 * number, toy_ticket(str(number), seed=number, steps=3)) for number in range(6)]
    outcome = simulate(scheduler_with(decoder, tick_seconds=TICK), script)
    assert all(isinstance(outcome.last(str(number)), Done) for number in range(6))
    shared = [batch for _, batch in chains(outcome) if len(batch.entries) > 1]
    assert len(shared) > 0.7 * len(chains(outcome))


@pytest.mark.parametrize("seed", range(5))
def test_a_newcomer_waits_for_about_a_tick_while_chains_run(seed: int) -> None:
    """Its first step begins within a tick, though the others' chains take twenty."""
    rng = Random(seed)
    decoder = ToyDecoder(toy_spec(side=4), chain=200)
    script = [(0.0, toy_ticket(f"old{number}", seed=number, steps=4)) for number in range(6)]
    arrivals = {f"new{number}": 0.7 + number + rng.random() for number in range(4)}
    script += [(at, toy_ticket(id, seed=50, steps=4)) for id, at in arrivals.items()]
    outcome = simulate(scheduler_with(decoder, tick_seconds=TICK), script)
    for id, arrived in arrivals.items():
        began = next(
            at
            for at, batch in outcome.batches
            if batch.kind is Kind.STEP and any(item.job.ticket.id == id for item in batch.entries)
        )
        assert began - arrived <= 1.05 * TICK


def test_a_cancel_takes_effect_in_mid_chain() -> None:
    decoder = ToyDecoder(chain=1000)
    scheduler = scheduler_with(decoder, tick_seconds=TICK)
    outcome = simulate(scheduler, [(0.0, toy_ticket("a")), (1.0, cancel("a"))])
    end = outcome.last("a")
    assert isinstance(end, Failed) and end.code == "cancelled" and outcome.when("a") < 1.0 + 2 * TICK
    assert not decoder.live and scheduler.memory == 0


def test_a_deadline_shortens_the_plan_by_what_steps_and_chains_take() -> None:
    decoder = ToyDecoder(toy_spec(side=4), chain=10)
    simulate_one = [(0.0, toy_ticket("a", steps=16))]
    whole = simulate(scheduler_with(decoder, tick_seconds=TICK), simulate_one).ended
    ticket = toy_ticket("b", steps=16, deadline=0.6 * whole, allow_fewer_steps=True)
    outcome = simulate(scheduler_with(decoder, tick_seconds=TICK), [(0.0, ticket)])
    assert isinstance(outcome.last("b"), Done) and outcome.ended < 0.6 * whole
    steps = [event for event in outcome.of("b") if isinstance(event, Progress)]
    assert 4 <= steps[-1].steps_total < 16


def test_a_failure_in_a_chain_stays_with_its_owner() -> None:
    decoder = ToyDecoder(chain=8, poisoned=frozenset({1}), broken=frozenset({2}))
    script = [(0.0, toy_ticket(str(seed), seed=seed, steps=3)) for seed in range(4)]
    outcome = simulate(scheduler_with(decoder, tick_seconds=TICK), script)
    assert [isinstance(outcome.last(str(seed)), Done) for seed in range(4)] == [True, False, False, True]


def test_a_chain_that_lacked_memory_goes_on_with_fewer_rows() -> None:
    decoder = ToyDecoder(toy_spec(side=3), chain=8, oom_rows=20)
    script = [(0.0, toy_ticket(str(seed), seed=seed, steps=2)) for seed in range(8)]
    outcome = simulate(scheduler_with(decoder, tick_seconds=TICK), script)
    assert all(isinstance(outcome.last(str(seed)), Done) for seed in range(8))


@pytest.mark.parametrize("image", [False, True])
def test_newcomers_do_not_wait_for_old_requests_of_their_priority(image: bool) -> None:
    """Those that run are older than `aging`; a newcomer is encoded, takes its step and is finished beside them."""
    decoder = ToyDecoder(toy_spec(side=4), chain=400)
    script = [(0.0, toy_ticket(f"old{number}", seed=number, steps=16)) for number in range(4)]
    picture = np.zeros((8, 8, 3), np.uint8) if image else None
    new = [toy_ticket(f"new{number}", seed=9, steps=1, image=picture, task="edit") for number in range(3)]
    script += [(2.0 + number, ticket) for number, ticket in enumerate(new)]
    outcome = simulate(scheduler_with(decoder, tick_seconds=TICK, aging=1.0), script)
    alone = simulate(scheduler_with(ToyDecoder(toy_spec(side=4), chain=400), tick_seconds=TICK), [(0.0, new[0])]).ended
    for number, ticket in enumerate(new):
        assert outcome.when(ticket.id) - (2.0 + number) < 4 * alone


def test_batches_grow_where_a_forward_costs_much_and_a_row_little() -> None:
    """60 ms and 0.9 ms a row, ticks of 100 ms: from lone batches nobody could tell."""
    decoder = ToyDecoder(toy_spec(side=4), chain=40)
    script = [(0.0, toy_ticket(str(number), seed=number, steps=16)) for number in range(8)]

    def seconds(batch: Batch) -> float:
        return batch.work.times * (0.06 + 0.0009 * batch.rows)

    outcome = simulate(scheduler_with(decoder, tick_seconds=0.1), script, seconds)
    late = [len(batch.entries) for _, batch in chains(outcome)][-200:]
    assert sum(late) / len(late) > 4


def test_a_chain_that_fills_a_tick_takes_turns_with_the_others() -> None:
    """A hundred rows that take 0.2 s, beside requests of a few: these are served every other time."""
    decoder = ToyDecoder(toy_spec(side=10), chain=150)
    small = [toy_ticket(f"small{number}", seed=number, steps=50) for number in range(3)]
    script = [(0.0, toy_ticket("wide", steps=1)), *((5.0, ticket) for ticket in small)]

    def seconds(batch: Batch) -> float:
        return batch.work.times * (0.004 + 0.002 * batch.rows)

    outcome = simulate(scheduler_with(decoder, tick_seconds=TICK), script, seconds, until=30.0)
    for ticket in small:
        heard = [event for event in outcome.of(ticket.id) if isinstance(event, Progress)]
        assert heard, "not one step in 25 seconds"


def test_a_clock_that_stands_still_is_no_failure() -> None:
    decoder = ToyDecoder(chain=20)
    outcome = simulate(scheduler_with(decoder), [(0.0, toy_ticket("a", steps=3))], lambda batch: 0.0)
    assert isinstance(outcome.last("a"), Done)
