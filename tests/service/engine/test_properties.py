"""The books stay balanced in any order of calls: cancels inside a batch, halves, failures, lack of memory."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from models.decoder import Artifact, Kind
from service.engine.batch import Batch
from service.engine.events import Done, Event, Failed, Preview, SampleDone
from service.engine.policy import Policy
from service.engine.request import Priority, Refused
from service.engine.scheduler import StepScheduler
from tests.fakes import ToyDecoder, toy_spec, toy_ticket

POLICY = Policy(tick_seconds=0.02, max_waiting=4, max_sequences=6, memory_budget=8, aging=1.0, bypass=0.5)


class Books(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.now = 0.0
        self.decoder = ToyDecoder(toy_spec(side=2), bytes_per_sample=1)
        self.scheduler = StepScheduler(POLICY)
        self.scheduler.add_model("toy", self.decoder, 0.0)
        self.batch: Batch | None = None
        self.wanted: dict[str, int] = {}
        self.events: dict[str, list[Event]] = {}

    def collect(self) -> None:
        for event in self.scheduler.take_events():
            self.events.setdefault(event.request, []).append(event)

    @rule(
        n=st.integers(1, 7),
        steps=st.integers(1, 4),
        partials=st.integers(0, 3),
        reuse=st.integers(0, 2),
        patience=st.none() | st.floats(0.0, 0.3),
        hasty=st.booleans(),
        priority=st.sampled_from(Priority),
        owner=st.sampled_from("ab"),
    )
    def submit(
        self,
        n: int,
        steps: int,
        partials: int,
        reuse: int,
        patience: float | None,
        hasty: bool,
        priority: Priority,
        owner: str,
    ) -> None:
        id = str(len(self.wanted))
        deadline = None if patience is None else self.now + patience
        ticket = toy_ticket(
            id,
            seed=len(self.wanted),
            n=n,
            steps=steps,
            partials=partials,
            reuse=reuse,
            deadline=deadline,
            allow_fewer_steps=hasty,
            priority=priority,
            owner=owner,
        )
        try:
            self.scheduler.submit(ticket, self.now)
        except Refused:
            assert self.scheduler.waiting == POLICY.max_waiting
        else:
            self.wanted[id] = n

    @rule(seconds=st.floats(0.0, 0.2))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.wanted)
    @rule(pick=st.integers(0))
    def cancel(self, pick: int) -> None:
        self.scheduler.cancel(list(self.wanted)[pick % len(self.wanted)], self.now)
        self.collect()

    @precondition(lambda self: self.batch is None)
    @rule()
    def plan(self) -> None:
        self.batch = self.scheduler.plan(self.now)
        self.collect()

    def commit(self, batch: Batch) -> None:
        artifacts: list[Artifact] = []
        if batch.kind is Kind.PREVIEW:
            artifacts = self.decoder.preview(batch.snapshots)
        elif batch.kind is Kind.FINISH:
            artifacts = self.decoder.finish(batch.sequences)
        else:
            self.decoder.run(batch.work, batch.sequences)
        self.now += 0.005
        self.scheduler.commit(batch, 0.005, self.now, artifacts)
        self.collect()

    @precondition(lambda self: self.batch is not None)
    @rule(way=st.sampled_from(["whole", "whole", "halves", "one fails", "all fail apart", "no memory"]))
    def settle(self, way: str) -> None:
        batch, self.batch = self.batch, None
        assert batch is not None
        if way == "whole" or len(batch.entries) == 1:
            self.commit(batch)
        elif way == "halves":
            for half in batch.halves():
                self.commit(half)
        elif way == "one fails":
            self.scheduler.fail(batch.entries[:1], "internal_error", "it broke", self.now)
            self.commit(batch.part(batch.entries[1:]))
        elif way == "all fail apart":
            for item in batch.entries:
                self.scheduler.fail([item], "internal_error", "it broke", self.now)
            self.collect()
        else:
            self.scheduler.shrink(batch, self.now)
            self.collect()

    @invariant()
    def limits_hold(self) -> None:
        assert self.scheduler.memory <= POLICY.memory_budget
        assert self.scheduler.waiting <= POLICY.max_waiting
        assert self.scheduler.sequences == len(self.decoder.live)
        assert self.scheduler.sequences <= max(POLICY.max_sequences, 7)

    @invariant()
    def stories_are_whole(self) -> None:
        for id, story in self.events.items():
            ends = [event for event in story if isinstance(event, Done | Failed)]
            assert len(ends) <= 1 and (not ends or story[-1] is ends[0])
            samples = [event.report.sample for event in story if isinstance(event, SampleDone)]
            assert len(samples) == len(set(samples))
            if ends and isinstance(ends[0], Done):
                assert len(samples) == self.wanted[id]
            for sample in set(samples):
                shown = [e.index for e in story if isinstance(e, Preview) and e.sample == sample]
                assert shown == sorted(set(shown))

    def teardown(self) -> None:
        """Let it run dry: everybody gets an end and everything is given back."""
        if self.batch is not None:
            self.settle("whole")
        for _ in range(1000):
            batch = self.scheduler.plan(self.now)
            self.collect()
            if batch is None:
                break
            self.commit(batch)
        assert self.events.keys() == self.wanted.keys()
        assert all(isinstance(story[-1], Done | Failed) for story in self.events.values())
        assert (self.scheduler.running, self.scheduler.waiting, self.scheduler.memory) == (0, 0, 0)
        assert not self.decoder.live


Books.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None, derandomize=True)
TestBooks = Books.TestCase
