import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.webhooks.courier import DELAYS, Courier
from service.webhooks.sender import Delivered, Gone, Outcome, Retry, Sender
from service.webhooks.signing import Secret, verify
from tests.service.artefacts.clock import Clock
from tests.service.webhooks.conftest import Names
from tests.service.webhooks.ledger import LEASE_SECONDS, MemoryLedger
from tests.service.webhooks.receiver import Message, Receiver, answer, served

SECRET = Secret(b"s" * 24)


class Wire:
    """Answers what `outcomes` say for an id, one after the other, the last again and again."""

    def __init__(self, **outcomes: list[Outcome | BaseException]) -> None:
        self.outcomes = outcomes
        self.sent: list[str] = []
        self.held: dict[str, asyncio.Event] = {}
        self.under_way: set[str] = set()

    async def send(self, url: str, id: str, body: bytes, now: float) -> Outcome:
        assert body == id.encode()
        self.sent.append(id)
        self.under_way.add(id)
        try:
            if id in self.held:
                await self.held[id].wait()
        finally:
            self.under_way.discard(id)
        outcomes = self.outcomes.get(id, [Delivered()])
        outcome = outcomes.pop(0) if len(outcomes) > 1 else outcomes[0]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


async def described(id: str) -> bytes | None:
    return id.encode()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> MemoryLedger:
    return MemoryLedger(clock)


@asynccontextmanager
async def running(
    ledger: MemoryLedger,
    wire: Wire | Sender,
    describe: Callable[[str], Awaitable[bytes | None]] = described,
    poll: float = 0.005,
    random: float = 0.5,
) -> AsyncIterator[Courier]:
    courier = Courier(ledger, wire, describe, poll=poll, random=lambda: random)
    run = asyncio.create_task(courier.run())
    try:
        yield courier
        assert not run.done()
    finally:
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def test_what_is_owed_is_delivered_once(ledger: MemoryLedger) -> None:
    ids = [f"req_{n}" for n in range(50)]
    wire = Wire()
    for id in ids:
        ledger.add(id)
    async with running(ledger, wire):
        await until(lambda: not ledger.open)
    assert sorted(wire.sent) == sorted(ids) and ledger.postponements == []


async def test_a_nudge_needs_no_poll(ledger: MemoryLedger) -> None:
    async with running(ledger, Wire(), poll=1e6) as courier:
        await until(lambda: ledger.asked)
        for n in range(20):
            ledger.add(f"req_{n}")
        courier.nudge()
        await until(lambda: not ledger.open)


async def test_retries_wait_longer_each_time_and_end(ledger: MemoryLedger, clock: Clock) -> None:
    wire = Wire(req_1=[Retry("the receiver answered 500")])
    ledger.add("req_1", "https://hooks.example.com/?hush")
    with capture_logs() as logs:
        async with running(ledger, wire):
            for tries, delay in enumerate(DELAYS, 1):
                await until(lambda tries=tries: len(ledger.postponements) == tries)
                assert ledger.postponements[-1] == ("req_1", delay)
                clock.time += delay
            await until(lambda: not ledger.open)
    assert len(wire.sent) == 1 + len(DELAYS)
    (given_up,) = [line for line in logs if line["log_level"] == "warning"]
    assert given_up == {
        "event": "webhook given up",
        "log_level": "warning",
        "job": "req_1",
        "where": "hooks.example.com",
        "tries": 8,
        "why": "the receiver answered 500",
    }
    assert "hush" not in str(logs)


async def test_not_before_its_time(ledger: MemoryLedger, clock: Clock) -> None:
    wire = Wire(req_1=[Retry("busy"), Delivered()])
    ledger.add("req_1")
    async with running(ledger, wire):
        await until(lambda: ledger.postponements)
        clock.time += 4.9
        asked = ledger.asked
        await until(lambda: ledger.asked > asked + 2)
        assert wire.sent == ["req_1"]
        clock.time += 0.2
        await until(lambda: not ledger.open)
    assert wire.sent == ["req_1", "req_1"]


@pytest.mark.parametrize(("random", "seconds"), [(0.0, 4.0), (0.5, 5.0), (1.0, 6.0)])
async def test_jitter(random: float, seconds: float, ledger: MemoryLedger) -> None:
    ledger.add("req_1")
    async with running(ledger, Wire(req_1=[Retry("busy")]), random=random):
        await until(lambda: ledger.postponements)
    assert ledger.postponements == [("req_1", pytest.approx(seconds))]


async def test_gone_and_forgotten_are_settled(ledger: MemoryLedger) -> None:
    async def describe(id: str) -> bytes | None:
        return None if id == "req_forgotten" else id.encode()

    wire = Wire(req_gone=[Gone("the receiver answered 410")])
    for id in ("req_gone", "req_forgotten"):
        ledger.add(id)
    async with running(ledger, wire, describe):
        await until(lambda: not ledger.open)
    assert wire.sent == ["req_gone"] and ledger.postponements == []


async def test_one_that_hangs_does_not_hold_up_others(ledger: MemoryLedger) -> None:
    wire = Wire()
    for n in range(7):
        wire.held[f"slow_{n}"] = asyncio.Event()
        ledger.add(f"slow_{n}")
    for n in range(30):
        ledger.add(f"fast_{n}")
    async with running(ledger, wire):
        await until(lambda: len(ledger.open) == 7)
        assert wire.under_way == wire.held.keys()
        for held in wire.held.values():
            held.set()
        await until(lambda: not ledger.open)


async def test_at_most_eight_at_once(ledger: MemoryLedger) -> None:
    wire = Wire()
    for n in range(20):
        wire.held[f"slow_{n}"] = asyncio.Event()
        ledger.add(f"slow_{n}")
    async with running(ledger, wire):
        await until(lambda: len(wire.under_way) == 8)
        await asyncio.sleep(0.02)
        assert len(wire.sent) == len(ledger.claims) == 8
        wire.held[wire.sent[0]].set()
        await until(lambda: len(wire.sent) == 9)


async def test_two_couriers_share_a_ledger(ledger: MemoryLedger) -> None:
    ids = [f"req_{n}" for n in range(60)]
    one, other = Wire(), Wire()
    for wire in (one, other):
        wire.held = {id: asyncio.Event() for id in ids[:16]}
    async with running(ledger, one), running(ledger, other):
        for id in ids:
            ledger.add(id)
        await until(lambda: len(one.under_way) == len(other.under_way) == 8)
        for held in (*one.held.values(), *other.held.values()):
            held.set()
        await until(lambda: not ledger.open)
    assert sorted(one.sent + other.sent) == sorted(ids)


async def test_a_lease_that_ends_meanwhile_starts_no_second_delivery_here(ledger: MemoryLedger, clock: Clock) -> None:
    wire = Wire()
    wire.held["req_1"] = asyncio.Event()
    ledger.add("req_1")
    async with running(ledger, wire):
        await until(lambda: wire.under_way)
        clock.time += LEASE_SECONDS
        await until(lambda: len(ledger.claims) == 2)
        wire.held["req_1"].set()
        await until(lambda: not ledger.open)
    assert wire.sent == ["req_1"]


@pytest.mark.parametrize("error", [OSError("refused"), RuntimeError("whatever a library raises"), TimeoutError()])
async def test_an_outage_is_logged_once_and_waited_out(error: Exception, ledger: MemoryLedger) -> None:
    wire = Wire()
    wire.held["req_1"] = asyncio.Event()
    ledger.add("req_1")
    with capture_logs() as logs:
        async with running(ledger, wire):
            await until(lambda: wire.under_way)
            ledger.away = error
            wire.held["req_1"].set()
            asked = ledger.asked
            await until(lambda: ledger.asked > asked + 10)
            ledger.away = None
            await until(lambda: not ledger.open)
            await until(lambda: logs[-1]["event"] == "webhooks have their ledger again")
    assert wire.sent == ["req_1"]
    assert [line["log_level"] for line in logs if "ledger" in line["event"]] == ["warning", "info"]


async def test_a_failure_stays_with_its_job(ledger: MemoryLedger) -> None:
    async def describe(id: str) -> bytes | None:
        if id == "req_odd":
            raise KeyError("kind")
        return id.encode()

    wire = Wire(req_bug=[ZeroDivisionError()])
    for id in ("req_odd", "req_bug", "req_good"):
        ledger.add(id)
    with capture_logs() as logs:
        async with running(ledger, wire, describe):
            await until(lambda: len(ledger.postponements) == 2 and len(ledger.open) == 2)
    assert {line["job"] for line in logs if line["log_level"] == "error"} == {"req_odd", "req_bug"}


async def test_cancelled_sends_go_back_to_the_ledger(ledger: MemoryLedger) -> None:
    wire = Wire()
    wire.held["req_1"] = asyncio.Event()
    ledger.add("req_1")
    async with running(ledger, wire):
        await until(lambda: wire.under_way)
    assert wire.under_way == set() and ledger.postponements == [("req_1", 0.0)]
    del wire.held["req_1"]
    async with running(ledger, wire):
        await until(lambda: not ledger.open)


async def test_cancel_waits_for_the_ledger(ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is being claimed is given back, what is being settled is settled."""
    asked, go = asyncio.Event(), asyncio.Event()
    plainly = ledger.owed

    async def owed(limit: int) -> list[object]:
        claimed = await plainly(limit)
        asked.set()
        await go.wait()
        return list(claimed)

    monkeypatch.setattr(ledger, "owed", owed)
    ledger.add("req_1")
    wire = Wire()
    wire.held["req_1"] = asyncio.Event()
    run = asyncio.create_task(Courier(ledger, wire, described).run())
    await asked.wait()
    run.cancel()
    await asyncio.sleep(0)
    assert not run.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert wire.under_way == set() and ledger.postponements == [("req_1", 0.0)]


async def test_what_was_delivered_is_settled_though_cancelled(
    ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    settling, go = asyncio.Event(), asyncio.Event()
    plainly = ledger.settled

    async def settled(id: str) -> None:
        settling.set()
        await go.wait()
        await plainly(id)

    monkeypatch.setattr(ledger, "settled", settled)
    ledger.add("req_1")
    run = asyncio.create_task(Courier(ledger, Wire(), described).run())
    await settling.wait()
    run.cancel()
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert ledger.open == set() and ledger.postponements == []


async def test_cancel_during_an_outage_ends(ledger: MemoryLedger) -> None:
    ledger.add("req_1")
    wire = Wire()
    wire.held["req_1"] = asyncio.Event()
    async with running(ledger, wire, poll=1e6):
        await until(lambda: wire.under_way)
        ledger.away = OSError("refused")
        wire.held["req_1"].set()
        await until(lambda: ledger.asked == 2)
    assert ledger.asked == 3 and ledger.open == {"req_1"}  # after a last attempt


async def test_all_of_it(
    ledger: MemoryLedger, clock: Clock, tls: Callable[..., ssl.SSLContext], ca: Path, names: Names
) -> None:
    """Over HTTPS: one receiver hangs, one is out of order for a while, one is gone, all of them on one address."""
    tried: list[str] = []

    async def respond(message: Message, writer: asyncio.StreamWriter) -> None:
        host = message.headers["host"].partition(":")[0]
        tried.append(host)
        if host == "slow.example.com":
            await asyncio.Event().wait()
        ready = {"gone.example.com": 410, "shaky.example.com": 200 if tried.count(host) > 1 else 503}
        writer.write(answer(ready.get(host, 200)))
        await writer.drain()

    hosts = [f"{name}.example.com" for name in ("slow", "shaky", "gone", "good")]
    names({host: [["127.0.0.1"]] for host in hosts})
    async with served(Receiver(respond), tls("*.example.com")) as receiver:
        sender = Sender(SECRET, [f"*.example.com:{receiver.port}"], ["127.0.0.0/8"], ca)
        for host in hosts:
            ledger.add(host, f"https://{host}:{receiver.port}/")
        async with running(ledger, sender):
            await until(lambda: ledger.open == {"slow.example.com", "shaky.example.com"} and ledger.postponements)
            clock.time += 5.0
            await until(lambda: ledger.open == {"slow.example.com"})
    assert sorted(tried) == sorted([*hosts, "shaky.example.com"])
    for message in receiver.messages:
        now = float(message.headers["webhook-timestamp"])
        assert verify(SECRET, message.headers, message.body, now) == message.id == message.body.decode()
