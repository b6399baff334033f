"""Previews: on time, in order, droppable, and never at the cost of others."""

import pytest

from models.decoder import Kind
from service.engine.batch import Batch
from service.engine.events import Done, Failed, Preview, SampleDone
from tests.fakes import Outcome, ToyDecoder, affine, scheduler_with, simulate, toy_ticket


def previews(outcome: Outcome, id: str, sample: int = 0) -> list[Preview]:
    return [e for e in outcome.of(id) if isinstance(e, Preview) and e.sample == sample]


@pytest.mark.parametrize(("steps", "partials", "at"), [(8, 3, [2, 4, 6]), (12, 2, [4, 8]), (5, 3, [2, 3, 4])])
def test_a_lone_request_gets_every_preview_at_its_step(steps: int, partials: int, at: list[int]) -> None:
    outcome = simulate(scheduler_with(ToyDecoder()), [(0.0, toy_ticket("a", steps=steps, partials=partials))])
    seen = previews(outcome, "a")
    assert [event.step for event in seen] == at
    assert [event.index for event in seen] == list(range(partials))
    kinds = [type(event).__name__ for event in outcome.of("a")]
    assert kinds[-2:] == ["SampleDone", "Done"]
    assert kinds.index("Preview") < kinds.index("Progress", at[0] + 1)


def test_a_preview_shows_the_moment_it_is_named_after() -> None:
    outcome = simulate(scheduler_with(ToyDecoder()), [(0.0, toy_ticket("a", steps=8, partials=3))])
    for event in previews(outcome, "a"):
        known = int((event.artifact.tokens != 2).sum())
        assert known / 16 == event.revealed == event.step / 8


def test_more_previews_than_steps_are_not_invented() -> None:
    outcome = simulate(scheduler_with(ToyDecoder()), [(0.0, toy_ticket("a", steps=2, partials=3))])
    assert [event.step for event in previews(outcome, "a")] == [1]
    assert isinstance(outcome.last("a"), Done)


def test_nobody_pays_for_previews_that_nobody_wants() -> None:
    decoder = ToyDecoder()
    simulate(scheduler_with(decoder), [(0.0, toy_ticket("a"))])
    assert not [kind for kind, _ in decoder.calls if kind is Kind.PREVIEW]


def costly(batch: Batch) -> float:
    """Decoding a picture costs as much as ten steps."""
    picture = batch.kind in (Kind.PREVIEW, Kind.FINISH)
    return 0.05 * len(batch.entries) if picture else affine(batch)


def test_costly_previews_are_dropped_rather_than_delay_others() -> None:
    decoder = ToyDecoder()
    watched = [(0.01 * i, toy_ticket(f"w{i}", seed=i, steps=16, partials=3, n=2)) for i in range(8)]
    plain = [(0.005 * i, toy_ticket(f"p{i}", seed=i, steps=16)) for i in range(120)]
    outcome = simulate(scheduler_with(decoder, max_sequences=32, max_waiting=200), [*watched, *plain], costly)
    seconds = {kind: 0.0 for kind in Kind}
    for _, batch in outcome.batches:
        if not batch.lane.urgent and batch.lane.kind is not Kind.FINISH:
            seconds[batch.kind] += costly(batch)
    assert seconds[Kind.PREVIEW] < 0.3 * seconds[Kind.STEP]
    total = sum(len(previews(outcome, f"w{i}", s)) for i in range(8) for s in range(2))
    assert 0 < total < 8 * 2 * 3


def test_previews_come_in_order_and_before_the_final_picture() -> None:
    decoder = ToyDecoder()
    script = [(0.01 * i, toy_ticket(str(i), seed=i, steps=4 + i % 9, partials=i % 4, n=1 + i % 3)) for i in range(60)]
    outcome = simulate(scheduler_with(decoder, max_sequences=16), script, costly)
    for i in range(60):
        final: set[int] = set()
        newest: dict[int, int] = {}
        for event in outcome.of(str(i)):
            if isinstance(event, Preview):
                assert event.sample not in final
                assert event.index > newest.get(event.sample, -1)
                newest[event.sample] = event.index
            elif isinstance(event, SampleDone):
                final.add(event.report.sample)
        assert len(final) == 1 + i % 3
        if i % 4:
            assert set(newest) == final, "the newest preview is shown before the end"
    assert not decoder.live


def test_a_cancelled_request_takes_its_previews_along() -> None:
    decoder = ToyDecoder()
    scheduler = scheduler_with(decoder)
    for id in "ab":
        scheduler.submit(toy_ticket(id, steps=4, partials=3), 0.0)
    while batch := scheduler.plan(0.0):
        if batch.kind is Kind.PREVIEW:
            break
        decoder.run(batch.work, batch.sequences)
        scheduler.commit(batch, 0.005, 0.0)
    assert batch is not None
    watched = batch.entries[0].job.ticket.id
    scheduler.cancel(watched, 0.0)
    scheduler.commit(batch, 0.005, 0.0, decoder.preview(batch.snapshots))
    events = [event for event in scheduler.take_events() if event.request == watched]
    assert isinstance(events[-1], Failed)
    assert not [event for event in events if isinstance(event, Preview)]
    while batch := scheduler.plan(0.0):
        assert watched not in {item.job.ticket.id for item in batch.entries}
        artifacts = []
        if batch.kind is Kind.PREVIEW:
            artifacts = decoder.preview(batch.snapshots)
        elif batch.kind is Kind.FINISH:
            artifacts = decoder.finish(batch.sequences)
        else:
            decoder.run(batch.work, batch.sequences)
        scheduler.commit(batch, 0.005, 0.0, artifacts)
    assert scheduler.running == 0
