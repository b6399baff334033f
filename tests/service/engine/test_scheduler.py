"""One rule of the scheduler at a time, in virtual time."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from structlog.testing import capture_logs

from models.decoder import Kind
from models.decoding.plan import Plan
from service.engine.events import Done, Failed, Progress, SampleDone, Started, Waiting
from service.engine.request import DoesNotFit, QueueFull
from service.engine.saved import Saved as SavedState
from service.engine.scheduler import StepScheduler
from tests.fakes import (
    Outcome,
    ToyDecoder,
    run_batch,
    scheduler_with,
    simulate,
    toy_request,
    toy_ticket,
)


def at_rest(scheduler: StepScheduler, *decoders: ToyDecoder) -> bool:
    return (
        (scheduler.running, scheduler.waiting, scheduler.sequences, scheduler.memory) == (0, 0, 0, 0)
        and not any(decoder.live for decoder in decoders)
        and scheduler.next_deadline() is None
    )


def cancel(id: str) -> Callable[[StepScheduler, float], None]:
    return lambda scheduler, now: scheduler.cancel(id, now)


# -- a request's life


def test_a_request_is_decoded_step_by_step_and_reported() -> None:
    decoder = ToyDecoder()
    scheduler = scheduler_with(decoder)
    outcome = simulate(scheduler, [(0.0, toy_ticket("a", seed=7, steps=6, reuse=1, n=2))])
    events = outcome.of("a")
    steps = [event.step for event in events if isinstance(event, Progress) and event.sample == 1]
    assert steps == [1, 2, 3, 4, 5, 6]
    assert events[0] == Started("a", 2)
    done = [event for event in events if isinstance(event, SampleDone)]
    assert [event.report.sample for event in done] == [0, 1]
    report = done[0].report
    assert (report.seed, report.fingerprint, report.checkpoint) == (7, "print", "toy-checkpoint")
    assert (report.steps_full, report.steps_reuse, report.shortened) == (3, 3, False)
    assert Plan.parse(report.plan).total == report.tokens == 16
    assert done[1].report.run_seconds == pytest.approx(outcome.when("a"))
    assert isinstance(events[-1], Done)
    assert at_rest(scheduler, decoder)


def test_progress_is_told_only_to_those_who_ask() -> None:
    scheduler = scheduler_with(ToyDecoder(), max_sequences=1)
    quiet = replace(toy_ticket("quiet"), progress=False)
    outcome = simulate(scheduler, [(0.0, toy_ticket("first")), (0.0, quiet), (0.0, toy_ticket("last"))])
    assert [type(event) for event in outcome.of("quiet")] == [Started, SampleDone, Done]
    places = [event.place for event in outcome.of("last") if isinstance(event, Waiting)]
    assert places == [2, 1]
    assert [type(event) for event in outcome.of("last")][:3] == [Waiting, Waiting, Started]


def test_an_edit_is_encoded_first_and_keeps_what_it_was_given() -> None:
    decoder = ToyDecoder()
    scheduler = scheduler_with(decoder)
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    mask = np.zeros((8, 8), dtype=bool)
    mask[0, 0] = True
    ticket = toy_ticket("a", steps=4, task="edit", image=image, mask=mask)
    outcome = simulate(scheduler, [(0.0, ticket)])
    assert [kind for kind, _ in decoder.calls] == [Kind.ENCODE, Kind.STEP, Kind.FINISH]
    done = outcome.of("a")[-2]
    assert isinstance(done, SampleDone)
    assert (done.artifact.array[2:] == 0).all()


def test_resumed_samples_continue_where_they_were() -> None:
    whole, source = ToyDecoder(), ToyDecoder()
    request = toy_request(seed=3, steps=8)
    seq = source.admit(request)[0]
    for _ in range(4):
        work = source.next_work(seq)
        assert work is not None
        source.run(work, [seq])
    resumed = toy_ticket("a", seed=3, steps=8, states=(kept(source.save(seq)),))
    first = simulate(scheduler_with(whole), [(0.0, toy_ticket("a", seed=3, steps=8))])
    second = simulate(scheduler_with(ToyDecoder()), [(0.0, resumed)])
    assert sum(isinstance(event, Progress) for event in second.of("a")) == 4
    assert _tokens(first, "a") == _tokens(second, "a")
    [done] = [event for event in second.of("a") if isinstance(event, SampleDone)]
    assert done.report.resumed_from_step == 4 and done.report.shortened


@pytest.mark.parametrize("changes", [{"fingerprint": "other"}, {"checkpoint": "other"}])
def test_states_of_other_numerics_or_weights_start_over(changes: dict[str, str]) -> None:
    source = ToyDecoder()
    state = kept(source.save(source.admit(toy_request(seed=3, steps=8))[0]), **changes)
    with capture_logs() as logged:
        outcome = simulate(scheduler_with(ToyDecoder()), [(0.0, toy_ticket("a", seed=3, steps=8, states=(state,)))])
    assert sum(isinstance(event, Progress) for event in outcome.of("a")) == 8
    assert ["starting over" in line["event"] for line in logged] == [True]


def kept(state: bytes, fingerprint: str = "print", checkpoint: str = "toy-checkpoint") -> bytes:
    return SavedState(fingerprint, checkpoint, 4, True, state).pack()


def _tokens(outcome: Outcome, id: str) -> list[list[int]]:
    done = [event for event in outcome.of(id) if isinstance(event, SampleDone)]
    return [e.artifact.tokens.tolist() for e in sorted(done, key=lambda e: e.report.sample)]


def test_requests_of_any_age_share_a_forward_full_beside_reuse() -> None:
    scheduler = scheduler_with(ToyDecoder())
    script = [
        (0.004 * i, toy_ticket(str(i), seed=i, steps=4 + i, reuse=i % 3, guidance_scale=1 + i % 2)) for i in range(12)
    ]
    simulate(scheduler, script)
    steps = [record for record in scheduler.log if record.kind is Kind.STEP]
    assert sum(len(record.requests) > 1 for record in steps) > len(steps) / 2
    assert any(0 < record.full < record.samples for record in steps)


def test_a_request_that_the_decoder_refuses_fails_alone() -> None:
    decoder = ToyDecoder(refused=frozenset({1}), unplaced=frozenset({2}))
    scheduler = scheduler_with(decoder)
    with capture_logs() as logged:
        outcome = simulate(scheduler, [(0.0, toy_ticket(str(i), seed=i)) for i in range(3)])
    refused = outcome.last("1")
    assert isinstance(refused, Failed) and refused.code == "invalid_value"
    assert refused.message == "seed 1 is refused"
    unplaced = outcome.last("2")
    assert isinstance(unplaced, Failed) and unplaced.code == "internal_error"
    assert [line["log_level"] for line in logged] == ["error"]
    assert isinstance(outcome.last("0"), Done)
    assert at_rest(scheduler, decoder)


def test_a_broken_state_leaves_no_sample_behind() -> None:
    decoder = ToyDecoder()
    scheduler = scheduler_with(decoder)
    good = b"0;" + str(decoder.admit(toy_request())[0].plan).encode() + b";" + b"2" * 16
    decoder.live.clear()
    outcome = simulate(scheduler, [(0.0, toy_ticket("a", n=2, states=(kept(good), kept(b"broken"))))])
    assert isinstance(outcome.last("a"), Failed)
    assert at_rest(scheduler, decoder)


# -- models


def test_tickets_wait_for_their_model_and_deadlines_hold_meanwhile() -> None:
    scheduler, decoder = scheduler_with(), ToyDecoder()
    script = [
        (0.0, toy_ticket("patient")),
        (0.0, toy_ticket("hasty", deadline=1.0)),
        (2.0, lambda s, now: s.add_model("toy", decoder, now)),
    ]
    outcome = simulate(scheduler, script)
    assert outcome.when("hasty") == 1.0
    hasty = outcome.last("hasty")
    assert isinstance(hasty, Failed) and hasty.code == "deadline_exceeded"
    assert isinstance(outcome.last("patient"), Done)
    assert outcome.when("patient") > 2.0


def test_a_model_that_cannot_be_loaded_fails_its_tickets_only() -> None:
    scheduler = scheduler_with(ToyDecoder())
    script = [
        (0.0, toy_ticket("a", model="gone")),
        (0.0, toy_ticket("b")),
        (1.0, lambda s, now: s.fail_model("gone", "no such file", now)),
    ]
    outcome = simulate(scheduler, script)
    assert outcome.last("a") == Failed("a", "model_unavailable", "no such file")
    assert isinstance(outcome.last("b"), Done)
    assert scheduler.waiting == 0


def _drain(scheduler: StepScheduler, now: float) -> float:
    while batch := scheduler.plan(now):
        now = run_batch(scheduler, batch, now)
    return now


# -- room


def test_the_waiting_room_is_bounded_and_tells_when_to_come_back() -> None:
    decoder = ToyDecoder()
    scheduler = scheduler_with(decoder, max_waiting=8, max_sequences=2)
    script = [(0.02 * i, toy_ticket(str(i), seed=i)) for i in range(200)]
    outcome = simulate(scheduler, script)
    assert outcome.refused
    for error in outcome.refused.values():
        assert isinstance(error, QueueFull) and 1.0 <= error.retry_after <= 60.0
    assert all(isinstance(outcome.last(str(i)), Done) for i in range(200) if str(i) not in outcome.refused)
    assert at_rest(scheduler, decoder)


def test_memory_is_reserved_before_a_request_runs() -> None:
    decoder = ToyDecoder(bytes_per_sample=10)
    scheduler = scheduler_with(decoder, memory_budget=35)
    seen: list[int] = []
    script = [(0.0, toy_ticket(str(i), seed=i, n=1 + i % 3)) for i in range(9)]
    simulate(scheduler, script, watch=lambda s, batch, now: seen.append(s.memory))
    assert max(seen) == 30 and min(seen) > 0
    assert at_rest(scheduler, decoder)


def test_a_request_larger_than_all_memory_is_refused_now_or_when_its_model_is_there() -> None:
    decoder = ToyDecoder(bytes_per_sample=10 << 20)
    scheduler = scheduler_with(decoder, memory_budget=35 << 20)
    with pytest.raises(DoesNotFit, match="needs 40 MiB"):
        scheduler.submit(toy_ticket("a", n=4), 0.0)
    scheduler.submit(toy_ticket("b", n=4, model="later"), 0.0)
    scheduler.add_model("later", decoder, 1.0)
    [event] = scheduler.take_events()
    assert isinstance(event, Failed) and event.code == "invalid_value"
    assert at_rest(scheduler)


def test_a_large_request_is_not_passed_by_small_ones_for_ever() -> None:
    decoder = ToyDecoder(bytes_per_sample=1)
    scheduler = scheduler_with(decoder, memory_budget=8, bypass=1.0, max_waiting=1000)
    small = [(0.01 * i, toy_ticket(f"s{i}", seed=i)) for i in range(300)]
    outcome = simulate(scheduler, [*small, (0.5, toy_ticket("large", n=8))])
    first = next(at for at, e in outcome.events if e == Started("large", 8))
    assert 1.5 < first < 2.5
    assert at_rest(scheduler, decoder)


# -- the tick


def test_a_batch_is_capped_by_its_predicted_time() -> None:
    decoder = ToyDecoder()
    scheduler = scheduler_with(decoder, tick_seconds=0.02)
    script = [(0.0, toy_ticket(str(i), seed=i, guidance_scale=1 + i % 2)) for i in range(40)]
    outcome = simulate(scheduler, script)
    assert all(len(b.entries) == 1 or b.predicted <= 0.02 for _, b in outcome.batches)
    steps = [batch for _, batch in outcome.batches if batch.kind is Kind.STEP]
    assert max(batch.rows for batch in steps) > 0.7 * (0.02 - 0.004) / 0.0001
    assert sum(b.predicted for b in steps[10:]) == pytest.approx(
        sum(0.004 + 0.0001 * b.rows for b in steps[10:]), rel=0.05
    )


def test_a_forward_longer_than_the_tick_runs_alone() -> None:
    scheduler = scheduler_with(ToyDecoder(), tick_seconds=0.001)
    outcome = simulate(scheduler, [(0.0, toy_ticket(str(i), seed=i)) for i in range(4)])
    sizes = [len(batch.entries) for _, batch in outcome.batches]
    assert sizes[:7] == [1] * 7 and sizes.count(1) > 0.9 * len(sizes), "two are tried now and then"
    assert all(isinstance(outcome.last(str(i)), Done) for i in range(4))


def test_lack_of_memory_halves_the_lane_until_it_fits() -> None:
    decoder = ToyDecoder(oom_rows=40)
    scheduler = scheduler_with(decoder)
    outcome = simulate(scheduler, [(0.0, toy_ticket(str(i), seed=i)) for i in range(16)])
    assert all(isinstance(outcome.last(str(i)), Done) for i in range(16))
    steps = [record for record in scheduler.log if record.kind is Kind.STEP]
    assert max(record.rows for record in steps) <= 40
    assert any(record.samples == 2 for record in steps)
    assert at_rest(scheduler, decoder)


def test_a_lane_that_lacked_memory_once_grows_again() -> None:
    decoder = ToyDecoder(oom_rows=40)
    scheduler = scheduler_with(decoder)
    now = simulate(scheduler, [(0.0, toy_ticket(str(i), seed=i)) for i in range(16)]).ended
    decoder.oom_rows = None  # a neighbour on the device has left
    script = [(now + 0.01 * i, toy_ticket(f"n{i}", seed=i)) for i in range(400)]
    simulate(scheduler, script)
    assert max(record.rows for record in list(scheduler.log)[-200:] if record.kind is Kind.STEP) > 80


def test_a_row_limit_holds() -> None:
    scheduler = scheduler_with(ToyDecoder(), max_batch_rows=51)
    outcome = simulate(scheduler, [(0.0, toy_ticket(str(i), seed=i)) for i in range(9)])
    assert max(batch.rows for _, batch in outcome.batches) == 51


# -- ends


def test_a_cancelled_request_ends_within_a_tick_and_frees_everything() -> None:
    decoder = ToyDecoder()
    scheduler = scheduler_with(decoder)
    script = [(0.0, toy_ticket("a", n=3)), (0.0, toy_ticket("b")), (0.02, cancel("a"))]
    outcome = simulate(scheduler, script)
    end = outcome.last("a")
    assert isinstance(end, Failed) and end.code == "cancelled"
    longest = max(b - a for (a, _), (b, _) in zip(outcome.batches, outcome.batches[1:], strict=False))
    assert outcome.when("a") - 0.02 <= longest
    assert isinstance(outcome.last("b"), Done)
    assert at_rest(scheduler, decoder)


def test_a_cancel_during_the_batch_ends_with_its_commit() -> None:
    decoder = ToyDecoder()
    scheduler = scheduler_with(decoder)
    scheduler.submit(toy_ticket("a", n=2), 0.0)
    batch = scheduler.plan(0.0)
    assert batch is not None and len(batch.entries) == 1  # the first forward is a trial
    scheduler.cancel("a", 0.0)
    assert len(decoder.live) == 1 and scheduler.take_events() == [Started("a", 2)]
    scheduler.cancel("a", 0.0)
    run_batch(scheduler, batch, 0.0)
    [end] = scheduler.take_events()
    assert isinstance(end, Failed) and end.code == "cancelled"
    assert scheduler.plan(1.0) is None
    assert at_rest(scheduler, decoder)


def test_cancelling_what_is_unknown_or_over_does_nothing() -> None:
    scheduler = scheduler_with(ToyDecoder())
    outcome = simulate(scheduler, [(0.0, toy_ticket("a")), (5.0, cancel("a")), (5.0, cancel("never"))])
    assert isinstance(outcome.last("a"), Done) and not outcome.of("never")


@pytest.mark.parametrize("way", ["poisoned", "broken"])
def test_a_failure_stays_with_its_owner(way: str) -> None:
    decoder = ToyDecoder(**{way: frozenset({5})})  # type: ignore[arg-type]
    scheduler = scheduler_with(decoder)
    outcome = simulate(scheduler, [(0.0, toy_ticket(str(i), seed=i, n=2)) for i in range(16)])
    alone = ToyDecoder()
    for i in range(16):
        end = outcome.last(str(i))
        if i == 5:
            assert isinstance(end, Failed) and end.code == "internal_error"
        else:
            assert isinstance(end, Done)
            lone = simulate(scheduler_with(alone), [(0.0, toy_ticket("x", seed=i, n=2))])
            assert _tokens(outcome, str(i)) == _tokens(lone, "x")
    assert at_rest(scheduler, decoder)


def test_every_request_can_be_ended_at_once() -> None:
    decoder = ToyDecoder()
    scheduler = scheduler_with(decoder, max_sequences=4)
    script = [(0.0, toy_ticket(str(i), seed=i)) for i in range(10)]
    script.append((0.02, lambda s, now: s.fail_all("draining", "the server stops", now)))  # type: ignore[arg-type]
    outcome = simulate(scheduler, script)
    assert {type(outcome.last(str(i))) for i in range(10)} == {Failed}
    assert at_rest(scheduler, decoder)
