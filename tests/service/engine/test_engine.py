"""The engine's thread: failures stay with their owner, cancels take effect, and nobody waits for ever."""

import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from structlog.testing import capture_logs

from models.catalogue import Catalogue, Entry
from models.decoder import Artifact, GenerationRequest, IterativeDecoder, Kind, PoisonedRows, Sequence, Work
from models.decoding.plan import Plan
from models.spec import Sampling
from service.dispatch.local import LocalDispatcher
from service.engine.engine import Engine
from service.engine.events import Event, Failed, Saved, Terminal
from service.engine.mailbox import Mailbox
from service.engine.policy import Policy
from service.engine.request import Draining, EngineDead, Ticket, UnknownModel
from tests.engines import Client, Shelf
from tests.fakes import ToyDecoder, toy_spec, toy_ticket
from tests.models.maskgit.build import tiny_decoder
from tests.tiny import tiny_checkpoint


@pytest.fixture(autouse=True)
def said() -> Iterator[list[MutableMapping[str, object]]]:
    """What was logged; nothing is rendered (structlog's default prints every local of every frame)."""
    with capture_logs() as lines:
        yield lines  # type: ignore[misc]


Start = Callable[..., Engine]


@pytest.fixture
def start() -> Iterator[Start]:
    """Engines over decoders in memory, stopped at the end."""
    engines: list[Engine] = []

    def begin(decoder: IterativeDecoder, policy: Policy | None = None, **options: object) -> Engine:
        spec = decoder.spec
        shelf: object = Shelf({spec.id: decoder})
        catalogue = Catalogue({spec.id: Entry(spec, Path("nowhere"), shelf)})  # type: ignore[arg-type]
        engines.append(Engine(catalogue, policy, "cpu", **options).start())  # type: ignore[arg-type]
        return engines[-1]

    yield begin
    for engine in engines:
        engine.stop()


def codes(last: Mapping[str, Event]) -> dict[str, str]:
    return {id: event.code for id, event in last.items() if isinstance(event, Failed)}


def lone_pixels(decoder: IterativeDecoder, request: GenerationRequest) -> list[np.ndarray]:
    made = []
    for seq in decoder.admit(request):
        while (work := decoder.next_work(seq)) and work.kind is not Kind.FINISH:
            decoder.run(work, [seq])
        made.append(decoder.finish([seq])[0].array)
        decoder.release(seq)
    return made


# -- failures


def test_a_poisoned_sequence_leaves_fifteen_unchanged(start: Start) -> None:
    sampling = Sampling(num_inference_steps=5, reuse=1, guidance_scale=2.0)
    requests = [GenerationRequest("generate", 3 if s == 7 else s % 3, sampling, seed=s) for s in range(16)]
    well = tiny_decoder()
    wanted = [lone_pixels(well, request) for request in requests]
    ill = tiny_decoder()
    ill.network.context_embed.word_embeddings.weight[3] = torch.nan
    client = Client(start(ill)).submit(*(Ticket(str(r.seed), "tiny", r) for r in requests))
    assert codes(client.over()) == {"7": "internal_error"}
    for request in requests:
        if request.seed != 7:
            [one] = client.made(str(request.seed))
            assert np.array_equal(one.artifact.array, wanted[request.seed][0])
    assert ill.slots.in_use == 0


def test_an_exception_is_traced_to_its_sequence_by_halves(start: Start) -> None:
    decoder = ToyDecoder(broken=frozenset({5}))
    client = Client(start(decoder)).submit(*(toy_ticket(str(seed), seed) for seed in range(9)))
    last = client.over()
    assert codes(last) == {"5": "internal_error"}
    assert isinstance(last["5"], Failed) and "broken" not in last["5"].message
    assert not decoder.live


def test_a_failure_takes_the_other_samples_of_its_request_with_it(start: Start) -> None:
    decoder = ToyDecoder(broken=frozenset({1}))
    client = Client(start(decoder)).submit(toy_ticket("bad", 1, n=4), toy_ticket("good", 2, n=3))
    assert codes(client.over()) == {"bad": "internal_error"}
    assert len(client.made("good")) == 3
    assert sum(isinstance(event, Terminal) for event in client.events["bad"]) == 1
    assert not decoder.live and decoder.released == {1: 4, 2: 3}


def test_a_lack_of_memory_shrinks_the_lane_and_fails_nobody(start: Start) -> None:
    engine = start(ToyDecoder(oom_rows=40))  # a full step is 17 rows
    client = Client(engine).submit(*(toy_ticket(str(seed), seed) for seed in range(8)))
    assert codes(client.over()) == {}
    assert max(record.rows for record in engine.scheduler.log) <= 40


def test_who_alone_is_too_large_fails_alone(start: Start) -> None:
    engine = start(ToyDecoder(oom_rows=20))
    tickets = [toy_ticket("large", 0, guidance_scale=2.0), toy_ticket("small", 1)]
    assert codes(Client(engine).submit(*tickets).over()) == {"large": "out_of_memory"}


class Clumsy(ToyDecoder):
    """Fails where `fault` says, for the request of seed 5 or the batch that holds it."""

    fault = ""

    def _fails(self, where: str, seqs: Seq[Sequence]) -> bool:
        return self.fault == where and any(seq.request.seed == 5 for seq in seqs)

    def run(self, work: Work, seqs: Seq[Sequence]) -> None:
        if self._fails("nameless poison", seqs):
            raise PoisonedRows([])
        super().run(work, seqs)

    def next_work(self, seq: Sequence) -> Work | None:
        if self._fails("next_work", [seq]) and seq.step == 3:
            raise KeyError("no work")
        return super().next_work(seq)

    def snapshot(self, seq: Sequence) -> object:
        if self._fails("snapshot", [seq]):
            raise MemoryError
        return super().snapshot(seq)

    def finish(self, seqs: Seq[Sequence]) -> list[Artifact]:
        if self._fails("finish", seqs):
            return super().finish(seqs)[1:]
        return super().finish(seqs)

    def release(self, seq: Sequence) -> None:
        super().release(seq)
        if self._fails("release", [seq]):
            raise KeyError("not mine")

    def preview(self, snapshots: Seq[object]) -> list[Artifact]:
        if self.fault == "preview":
            raise RuntimeError("no picture")
        return super().preview(snapshots)


@pytest.mark.parametrize("fault", ["nameless poison", "next_work", "snapshot", "finish"])
def test_no_fault_of_a_decoder_reaches_a_neighbour(start: Start, fault: str) -> None:
    decoder = Clumsy()
    decoder.fault = fault
    engine = start(decoder)
    client = Client(engine).submit(*(toy_ticket(str(seed), seed, partials=1) for seed in range(9)))
    assert codes(client.over()).keys() == {"5"}
    assert engine.vitals().alive
    assert not decoder.live


@pytest.mark.parametrize("fault", ["preview", "release"])
def test_what_can_be_forgiven_fails_nobody(start: Start, fault: str) -> None:
    decoder = Clumsy()
    decoder.fault = fault
    engine = start(decoder)
    client = Client(engine).submit(*(toy_ticket(str(seed), seed, partials=2) for seed in (4, 5, 6)))
    assert codes(client.over()) == {}
    assert engine.vitals().alive


def test_a_reader_that_cannot_be_woken_harms_nobody(start: Start) -> None:
    def gone() -> None:
        raise RuntimeError("the loop is closed")

    engine = start(ToyDecoder())
    engine.submit(toy_ticket("gone"), Mailbox(gone))
    assert codes(Client(engine).submit(toy_ticket("here", 1)).over()) == {}
    assert engine.vitals().alive


def test_a_dead_engine_tells_everybody(start: Start) -> None:
    class Deadly(ToyDecoder):
        def run(self, work: Work, seqs: Seq[Sequence]) -> None:
            raise SystemExit

    engine = start(Deadly())
    assert engine.vitals().alive
    client = Client(engine).submit(toy_ticket("a"))
    assert codes(client.over()) == {"a": "internal_error"}
    assert not engine.vitals().alive and not LocalDispatcher(engine).health().alive
    with pytest.raises(EngineDead):
        client.submit(toy_ticket("b"))
    assert engine.idle(), "a drain would wait"


def test_a_checkpoint_that_does_not_load_fails_its_own_requests(tmp_path: Path) -> None:
    good, bad = tiny_checkpoint(tmp_path, "good"), tiny_checkpoint(tmp_path, "bad")
    catalogue = Catalogue.scan([tmp_path])
    (bad / "model.safetensors").write_bytes((good / "tokenizer" / "model.safetensors").read_bytes())
    engine = Engine(catalogue, device="cpu").start()
    try:
        request = GenerationRequest("generate", 0, Sampling(num_inference_steps=2), seed=1)
        client = Client(engine).submit(Ticket("1", "bad", request), Ticket("2", "good", request))
        assert codes(client.over()) == {"1": "model_unavailable"}
        assert str(tmp_path) not in str(client.events["1"][-1]), "no path leaves the server"
        with pytest.raises(UnknownModel):
            client.submit(Ticket("3", "absent", request))
    finally:
        engine.stop()


def test_what_cannot_be_admitted_is_its_own_fault(start: Start) -> None:
    decoder = ToyDecoder(refused=frozenset({3}))
    client = Client(start(decoder)).submit(*(toy_ticket(str(seed), seed) for seed in range(5)))
    assert codes(client.over()) == {"3": "invalid_value"}


# -- cancels, deadlines, the end


@dataclass
class Gated(ToyDecoder):
    """Every forward says that it began, and waits for leave to end."""

    began: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    leave: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def run(self, work: Work, seqs: Seq[Sequence]) -> None:
        self.began.release()
        assert self.leave.acquire(timeout=170)
        super().run(work, seqs)


def test_a_cancel_takes_effect_at_the_next_tick(start: Start) -> None:
    decoder = Gated()
    engine = start(decoder)
    client = Client(engine).submit(toy_ticket("a", n=3))
    assert decoder.began.acquire(timeout=170)
    engine.cancel("a")
    decoder.leave.release()
    assert codes(client.over()) == {"a": "cancelled"}
    assert [kind for kind, _ in decoder.calls] == [Kind.STEP]
    assert not decoder.live and engine.idle() and engine.scheduler.memory == 0
    engine.cancel("a")  # over long ago: nothing happens


def test_who_arrives_during_a_forward_joins_the_next(start: Start) -> None:
    decoder = Gated()
    client = Client(start(decoder, Policy(tick_seconds=1e6))).submit(toy_ticket("a", seed=1))
    assert decoder.began.acquire(timeout=170)
    client.submit(toy_ticket("b", seed=2))
    decoder.leave.release(100)
    assert codes(client.over()) == {}
    assert decoder.calls[:2] == [(Kind.STEP, 1), (Kind.STEP, 2)]


def test_stop_ends_the_thread_and_tells_who_waits(start: Start) -> None:
    decoder = Gated()
    engine = start(decoder)
    client = Client(engine).submit(toy_ticket("a"))
    assert decoder.began.acquire(timeout=170)
    stopper = threading.Thread(target=engine.stop)
    stopper.start()
    decoder.leave.release(100)
    stopper.join(170)
    assert codes(client.over()) == {"a": "draining"}
    assert not engine.vitals().alive and not decoder.live
    with pytest.raises(Draining):
        client.submit(toy_ticket("b"))


async def test_a_drain_lets_the_running_finish(start: Start) -> None:
    engine = start(ToyDecoder())
    client = Client(engine).submit(*(toy_ticket(str(seed), seed) for seed in range(4)))
    await LocalDispatcher(engine).drain(30.0)
    assert codes(client.over()) == {}
    assert not engine.vitals().alive


@dataclass
class Clock:
    """Time passes only while a step runs."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_deadline_shortens_the_plan_which_then_reproduces_the_picture(start: Start) -> None:
    clock, decoder = Clock(), tiny_decoder()
    run = decoder.run

    def slow(work: Work, seqs: Seq[Sequence]) -> None:
        clock.now += 1.0
        run(work, seqs)

    decoder.run = slow  # type: ignore[method-assign]
    request = GenerationRequest(
        "generate", 1, Sampling(num_inference_steps=16, reuse=1, choice_temperature=3.0), seed=8
    )
    client = Client(start(decoder, clock=clock))
    client.submit(Ticket("warm", "tiny", replace(request, sampling=Sampling(num_inference_steps=2)))).over()
    deadline = clock.now + 8.5
    client.submit(Ticket("late", "tiny", request, deadline=deadline, allow_fewer_steps=True))
    assert codes(client.over()) == {}
    [late] = client.made("late")
    assert late.report.shortened and late.report.steps_full + late.report.steps_reuse < 16
    assert clock.now <= deadline
    client.submit(Ticket("again", "tiny", replace(request, plan=Plan.parse(late.report.plan)))).over()
    [again] = client.made("again")
    assert np.array_equal(again.artifact.array, late.artifact.array)
    assert again.report.plan == late.report.plan and not again.report.shortened


def test_without_leave_a_deadline_fails_instead(start: Start) -> None:
    clock, decoder = Clock(), ToyDecoder()
    decoder.lane = lambda seq: clock.__setattr__("now", clock.now + 0.5) or "step"  # type: ignore[func-returns-value]
    client = Client(start(decoder, clock=clock)).submit(toy_ticket("a", steps=16, deadline=2.0))
    assert codes(client.over()) == {"a": "deadline_exceeded"}


# -- resuming


def test_saved_states_go_on_in_another_engine(start: Start) -> None:
    ticket = replace(toy_ticket("a", seed=4, steps=12, n=2, reuse=1), save=True)
    whole = Client(start(ToyDecoder())).submit(ticket)
    assert codes(whole.over()) == {}
    saved = [event for event in whole.events["a"] if isinstance(event, Saved)]
    assert all(event.step in Plan.parse(whole.made("a")[0].report.plan).boundaries for event in saved)

    decoder = Gated()
    engine = start(decoder)
    client = Client(engine).submit(ticket)
    decoder.leave.release(4)
    client.until(lambda event: isinstance(event, Saved) and event.step == 4)
    engine.cancel("a")
    decoder.leave.release(100)
    client.over()
    states = {event.sample: event.state for event in client.events["a"] if isinstance(event, Saved)}
    elsewhere = ToyDecoder()
    moved = Client(start(elsewhere)).submit(replace(ticket, states=(states[0], states[1])))
    assert codes(moved.over()) == {}
    for one, other in zip(whole.made("a"), moved.made("a"), strict=True):
        assert np.array_equal(one.artifact.tokens, other.artifact.tokens)
    assert sum(kind is Kind.STEP for kind, _ in elsewhere.calls) < 12, "it did not start over"


def test_models_of_an_engine_share_nothing(start: Start) -> None:
    one, other = start(ToyDecoder()), start(ToyDecoder(toy_spec(side=2)))
    clients = [Client(engine).submit(toy_ticket("a", steps=4)) for engine in (one, other)]
    assert [len(client.over()) for client in clients] == [1, 1]
    assert [client.made("a")[0].report.tokens for client in clients] == [16, 4]
