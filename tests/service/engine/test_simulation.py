"""10,000 requests at random, with cancels, deadlines, failures, several models, lanes, owners and priorities."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

import pytest
from structlog.testing import capture_logs

from models.decoder import Kind, Sequence
from service.engine.batch import Batch
from service.engine.events import Done, Event, Failed, Preview, Progress, SampleDone
from service.engine.policy import Policy
from service.engine.request import Priority, QueueFull, Ticket
from service.engine.scheduler import StepScheduler
from tests.fakes import Action, Outcome, ToyDecoder, affine, simulate, toy_spec, toy_ticket

pytestmark = pytest.mark.timeout(900)  # seconds of work, but a busy machine stretches them

ARRIVALS = 10_000
POLICY = Policy(
    tick_seconds=0.03,
    max_waiting=48,
    max_sequences=24,
    memory_budget=40,
    aging=2.0,
    patience=5.0,
    bypass=0.5,
    retry_after=99.0,
)


def by_seed(seq: Sequence) -> str:
    return f"step{seq.request.seed % 3}"


@dataclass
class World:
    """Two models, one of them with three lanes; some seeds fail in every way there is."""

    random: Random
    one: ToyDecoder = field(init=False)
    many: ToyDecoder = field(init=False)
    tickets: dict[str, Ticket] = field(default_factory=dict)
    cancelled: dict[str, float] = field(default_factory=dict)
    depth: list[tuple[int, int, int]] = field(default_factory=list)  # sequences, waiting, memory at each batch

    def __post_init__(self) -> None:
        trouble = {
            "poisoned": frozenset(range(0, ARRIVALS, 97)),
            "broken": frozenset(range(1, ARRIVALS, 101)),
            "refused": frozenset(range(2, ARRIVALS, 103)),
            "unplaced": frozenset(range(3, ARRIVALS, 997)),
        }
        self.one = ToyDecoder(toy_spec("one", side=3), bytes_per_sample=1, **trouble)  # type: ignore[arg-type]
        self.many = ToyDecoder(toy_spec("many", side=2), bytes_per_sample=2, oom_rows=90, lane=by_seed, **trouble)  # type: ignore[arg-type]

    def script(self) -> Iterator[tuple[float, Ticket | Action]]:
        """Bursts and lulls around the capacity."""
        random, now = self.random, 0.0
        for number in range(ARRIVALS):
            crowd = 0.4 if (number // 500) % 3 else 2.0
            now += random.expovariate(1 / (0.012 * crowd))
            ticket = self._ticket(str(number), number, now)
            self.tickets[ticket.id] = ticket
            yield now, ticket
            if random.random() < 0.08:
                at = now + random.expovariate(1 / 0.1)
                self.cancelled[ticket.id] = at
                yield at, lambda scheduler, now, id=ticket.id: scheduler.cancel(id, now)  # type: ignore[misc]

    def _ticket(self, id: str, seed: int, now: float) -> Ticket:
        random = self.random
        large = random.random() < 0.01
        return toy_ticket(
            id,
            seed=seed,
            model=random.choice(["one", "many"]),
            steps=random.randint(1, 9),
            n=10 if large else random.choice([1, 1, 1, 2, 4]),
            reuse=random.choice([0, 0, 1, 2]),
            guidance_scale=random.choice([1.0, 3.0]),
            partials=random.choice([0, 0, 0, 1, 3]),
            priority=random.choice([Priority.HIGH, Priority.NORMAL, Priority.NORMAL, Priority.LOW]),
            deadline=now + random.uniform(0.05, 2.0) if random.random() < 0.2 else None,
            allow_fewer_steps=random.random() < 0.5,
            owner=random.choice(["ann", "bob", "cy", "cy", "cy", "cy"]),
        )

    def watch(self, scheduler: StepScheduler, batch: Batch, now: float) -> None:
        self.depth.append((scheduler.sequences, scheduler.waiting, scheduler.memory))


@pytest.fixture(scope="module")
def world() -> World:
    return World(Random(20251122))


@pytest.fixture(scope="module")
def scheduler(world: World) -> StepScheduler:
    scheduler = StepScheduler(POLICY, "print")
    for decoder in (world.one, world.many):
        scheduler.add_model(decoder.spec.id, decoder, 0.0)
    return scheduler


@pytest.fixture(scope="module")
def outcome(world: World, scheduler: StepScheduler) -> Outcome:
    with capture_logs():
        return simulate(scheduler, world.script(), watch=world.watch)


@pytest.fixture(scope="module")
def stories(outcome: Outcome) -> dict[str, list[tuple[float, Event]]]:
    """Events by request."""
    found: dict[str, list[tuple[float, Event]]] = {}
    for at, event in outcome.events:
        found.setdefault(event.request, []).append((at, event))
    return found


Stories = dict[str, list[tuple[float, Event]]]


def test_the_run_saw_everything_it_should(world: World, outcome: Outcome, stories: Stories) -> None:
    codes = Counter(e.code for story in stories.values() for _, e in story if isinstance(e, Failed))
    assert min(codes[c] for c in ("cancelled", "deadline_exceeded", "internal_error", "invalid_value")) > 30
    assert codes["out_of_memory"] == 0
    assert len(outcome.refused) > 100, "the waiting room was never full"
    assert sum(isinstance(s[-1][1], Done) for s in stories.values()) > ARRIVALS / 2
    reports = [e.report for s in stories.values() for _, e in s if isinstance(e, SampleDone)]
    assert sum(report.shortened for report in reports) > 30
    assert any(sequences >= 20 for sequences, _, _ in world.depth)


def test_nothing_is_lost_or_finished_twice(world: World, outcome: Outcome, stories: Stories) -> None:
    assert stories.keys() | outcome.refused.keys() == world.tickets.keys()
    assert not stories.keys() & outcome.refused.keys()
    for id, story in stories.items():
        ends = [event for _, event in story if isinstance(event, Done | Failed)]
        assert len(ends) == 1 and ends[0] is story[-1][1]
        samples = [event.report.sample for _, event in story if isinstance(event, SampleDone)]
        assert len(samples) == len(set(samples))
        if isinstance(ends[0], Done):
            assert sorted(samples) == list(range(world.tickets[id].request.n))


def test_everything_returns_to_zero(world: World, scheduler: StepScheduler, outcome: Outcome) -> None:
    assert (scheduler.running, scheduler.waiting, scheduler.sequences, scheduler.memory) == (0, 0, 0, 0)
    assert scheduler.next_deadline() is None and scheduler.plan(outcome.ended) is None
    for decoder in (world.one, world.many):
        assert not decoder.live, "a sample was not released"
        assert decoder.released.total() == decoder.admitted  # a second release raises


def test_limits_hold_at_every_batch(world: World, outcome: Outcome) -> None:
    sequences, waiting, memory = (max(column) for column in zip(*world.depth, strict=True))
    assert sequences <= POLICY.max_sequences
    assert waiting <= POLICY.max_waiting
    assert memory <= POLICY.memory_budget
    assert all(len(b.entries) == 1 or b.predicted <= POLICY.tick_seconds for _, b in outcome.batches)


def test_refusals_say_when_to_come_back(outcome: Outcome) -> None:
    for error in outcome.refused.values():
        assert isinstance(error, QueueFull) and 1.0 <= error.retry_after <= 5.0


def test_nobody_starves(world: World, outcome: Outcome, stories: Stories) -> None:
    """From submission to the end: ageing, patience and the drain of those before, whatever the priority."""
    waits: dict[Priority, list[float]] = {priority: [] for priority in Priority}
    for id, story in stories.items():
        done = story[-1][1]
        if isinstance(done, Done):
            waits[world.tickets[id].priority].append(done.queue_seconds + done.run_seconds)
    assert max(max(times) for times in waits.values()) < 2 * POLICY.aging + POLICY.patience
    means = [sum(times) / len(times) for times in waits.values()]
    assert means[Priority.HIGH] < 0.7 * means[Priority.NORMAL] < means[Priority.LOW]


def test_a_cancel_takes_effect_within_a_tick(world: World, outcome: Outcome, stories: Stories) -> None:
    longest = max(b - a for (a, _), (b, _) in zip(outcome.batches, outcome.batches[1:], strict=False))
    late = [
        story[-1][0] - world.cancelled[id]
        for id, story in stories.items()
        if isinstance(end := story[-1][1], Failed) and end.code == "cancelled"
    ]
    assert len(late) > 100 and max(late) <= max(longest, 0.1)
    ended = {id: story[-1][0] for id, story in stories.items()}
    for id, at in world.cancelled.items():
        if id in ended:
            assert ended[id] <= at + 0.1


def test_a_deadline_takes_effect_within_a_tick(world: World, stories: Stories) -> None:
    for id, story in stories.items():
        deadline = world.tickets[id].deadline
        if deadline is not None:
            assert story[-1][0] <= deadline + 0.1
        else:
            assert not isinstance(end := story[-1][1], Failed) or end.code != "deadline_exceeded"


def test_failures_stay_with_their_owner(world: World, stories: Stories) -> None:
    for id, story in stories.items():
        end, seed = story[-1][1], world.tickets[id].request.seed
        if isinstance(end, Failed) and end.code == "internal_error":
            assert seed in world.one.poisoned | world.one.broken | world.one.unplaced
        if isinstance(end, Failed) and end.code == "invalid_value":
            assert seed in world.one.refused


def test_steps_and_previews_come_in_order_and_before_the_final(stories: Stories) -> None:
    for story in stories.values():
        step, shown, final = Counter[int](), Counter[int](), set[int]()
        for _, event in story:
            match event:
                case Progress():
                    assert event.sample not in final and event.step == step[event.sample] + 1
                    step[event.sample] = event.step
                case Preview():
                    assert event.sample not in final and event.index >= shown[event.sample]
                    assert event.step <= step[event.sample]
                    shown[event.sample] = event.index + 1
                case SampleDone():
                    final.add(event.report.sample)


def test_only_those_who_allow_it_are_shortened(world: World, stories: Stories) -> None:
    for id, story in stories.items():
        ticket = world.tickets[id]
        for _, event in story:
            if isinstance(event, SampleDone) and event.report.shortened:
                assert ticket.allow_fewer_steps
                assert event.report.steps_full + event.report.steps_reuse >= world.one.spec.min_steps


def test_neighbours_do_not_change_a_result(world: World, stories: Stories) -> None:
    whole = [id for id, story in stories.items() if isinstance(story[-1][1], Done)][::40]
    for id in whole:
        ticket = world.tickets[id]
        done = [event for _, event in stories[id] if isinstance(event, SampleDone)]
        if any(event.report.shortened for event in done):
            continue
        alone = StepScheduler(Policy())
        decoder = {"one": world.one, "many": world.many}[ticket.model]
        alone.add_model(ticket.model, ToyDecoder(decoder.spec), 0.0)
        again = simulate(alone, [(0.0, Ticket(id, ticket.model, ticket.request))])
        expected = {e.report.sample: e.artifact for e in again.of(id) if isinstance(e, SampleDone)}
        for event in done:
            assert (event.artifact.array == expected[event.report.sample].array).all()


def test_forwards_are_shared(scheduler: StepScheduler, outcome: Outcome) -> None:
    steps = [batch for _, batch in outcome.batches if batch.kind is Kind.STEP]
    shared = sum(len(batch.entries) > 1 for batch in steps)
    assert shared > 0.6 * len(steps)


def test_owners_who_keep_asking_get_alike(outcome: Outcome) -> None:
    """`cy` asks four times as much as the others, and is the one who waits for it."""
    assert outcome.spent["ann"] == pytest.approx(outcome.spent["bob"], rel=0.15)
    assert outcome.spent["cy"] < 4 * outcome.spent["ann"]


def test_it_is_deterministic() -> None:
    def play() -> list[tuple[float, str, str]]:
        world = World(Random(5))
        scheduler = StepScheduler(POLICY)
        for decoder in (world.one, world.many):
            scheduler.add_model(decoder.spec.id, decoder, 0.0)
        with capture_logs():
            outcome = simulate(scheduler, world.script(), until=3.0)
        return [(at, type(event).__name__, event.request) for at, event in outcome.events]

    assert play() == play()


def test_affine_is_what_the_scheduler_learned(outcome: Outcome) -> None:
    late = [batch for _, batch in outcome.batches[1000:]]
    error = [abs(batch.predicted - affine(batch)) / affine(batch) for batch in late]
    assert sum(error) / len(error) < 0.1
