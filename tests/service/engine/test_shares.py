"""Who runs when there is too much: priorities, and fair shares of models, lanes and owners."""

import pytest

from models.decoder import Kind
from service.engine.batch import Batch
from service.engine.request import Priority
from tests.fakes import ToyDecoder, scheduler_with, simulate, toy_spec, toy_ticket


def test_priority_runs_first_and_age_lifts_the_rest() -> None:
    scheduler = scheduler_with(ToyDecoder(), max_sequences=1, max_waiting=1000, aging=2.0)
    script = [(0.04 * i, toy_ticket(f"h{i}", priority=Priority.HIGH)) for i in range(120)]
    outcome = simulate(scheduler, [*script, (0.001, toy_ticket("low", priority=Priority.LOW))])
    assert 4.0 < outcome.when("low") < 4.6


def test_a_higher_priority_goes_before_the_steps_of_lower_ones() -> None:
    scheduler = scheduler_with(ToyDecoder(), tick_seconds=0.006)
    script = [(0.0, toy_ticket(f"low{i}", seed=i, priority=Priority.LOW)) for i in range(10)]
    outcome = simulate(scheduler, [*script, (0.02, toy_ticket("high", priority=Priority.HIGH))])
    assert outcome.when("high") - 0.02 < 0.07 < outcome.ended / 4


def test_models_share_the_time_whatever_their_forwards_cost() -> None:
    light, heavy = ToyDecoder(toy_spec("light")), ToyDecoder(toy_spec("heavy"))
    scheduler = scheduler_with(light, heavy, max_waiting=10_000)
    script = [
        (0.0, toy_ticket(f"{model}{i}", seed=i, model=model, steps=16))
        for i in range(200)
        for model in ("light", "heavy")
    ]

    def seconds(batch: Batch) -> float:
        return (0.004 if batch.model == "light" else 0.020) + 0.0001 * batch.rows

    outcome = simulate(scheduler, script, seconds, until=3.0)
    spent = {"light": 0.0, "heavy": 0.0}
    for _, batch in outcome.batches:
        spent[batch.model] += seconds(batch)
    assert spent["light"] == pytest.approx(spent["heavy"], rel=0.06)


def test_lanes_of_a_model_share_its_time() -> None:
    decoder = ToyDecoder(lane=lambda seq: "wide" if seq.request.sampling.reuse == 0 else "narrow")
    scheduler = scheduler_with(decoder, max_waiting=10_000)
    script = [(0.0, toy_ticket(str(i), seed=i, steps=16, reuse=3 * (i % 2))) for i in range(400)]

    def seconds(batch: Batch) -> float:
        return 0.03 if batch.lane.key == "wide" else 0.005

    outcome = simulate(scheduler, script, seconds, until=3.0)
    spent = {"wide": 0.0, "narrow": 0.0}
    for _, batch in outcome.batches:
        if batch.kind is Kind.STEP:
            spent[str(batch.lane.key)] += seconds(batch)
    assert spent["wide"] == pytest.approx(spent["narrow"], rel=0.05)


def test_a_busy_model_does_not_erase_the_debts_of_another() -> None:
    both = ToyDecoder(toy_spec("both"), lane=lambda seq: "ab"[seq.request.seed % 2])
    steady = ToyDecoder(toy_spec("steady"))
    scheduler = scheduler_with(both, steady, max_waiting=10_000, max_sequences=300)
    script = [(0.0, toy_ticket(f"s{i}", model="steady", steps=16)) for i in range(250)]
    script += [(0.0, toy_ticket(f"b{i}", seed=i, model="both", steps=16)) for i in range(250)]
    outcome = simulate(scheduler, script, until=3.0)
    turns = [batch.lane.key for _, batch in outcome.batches if batch.model == "both"]
    assert turns.count("a") == pytest.approx(turns.count("b"), rel=0.1)


@pytest.mark.parametrize(("max_sequences", "n"), [(8, 1), (64, 1), (64, 4)])
def test_owners_get_equal_time_however_much_they_ask_for(max_sequences: int, n: int) -> None:
    scheduler = scheduler_with(
        ToyDecoder(), max_waiting=1000, max_sequences=max_sequences, tick_seconds=0.015, bypass=0.0
    )
    script = [(0.0, toy_ticket(f"flood{i}", seed=i, owner="flood")) for i in range(300)]
    script += [(0.006 * n * i, toy_ticket(f"calm{i}", seed=i, owner="calm", n=n)) for i in range(400 // n)]
    outcome = simulate(scheduler, script, until=3.0)
    assert outcome.spent["calm"] == pytest.approx(outcome.spent["flood"], rel=0.1)


def test_a_newcomer_is_not_kept_waiting_behind_a_flood_of_another_owner() -> None:
    scheduler = scheduler_with(ToyDecoder(), max_waiting=10_000, max_sequences=8)
    script = [(0.0, toy_ticket(f"flood{i}", seed=i, owner="flood")) for i in range(200)]
    outcome = simulate(scheduler, [*script, (1.0, toy_ticket("calm", owner="calm"))])
    assert outcome.when("calm") - 1.0 < 0.5 < outcome.ended / 4
