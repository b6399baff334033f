"""What a worker and its clients do when something goes wrong beside them."""

import asyncio
import uuid
from dataclasses import dataclass

import pytest

from service.artefacts.base import StoreAway
from service.artefacts.redis import RedisStore
from service.dispatch.queue import client as client_module
from service.dispatch.queue.records import LEASES
from service.engine.events import Done, Event, Failed, Progress
from service.engine.request import QueueFull
from tests.fakes import ToyDecoder, toy_ticket
from tests.service.dispatch.places import Slow, client, events, tokens, worker

pytestmark = pytest.mark.timeout(60)


def fresh() -> str:
    return f"req_{uuid.uuid4().hex[:12]}"


@dataclass
class Named(ToyDecoder):
    """A model of its own, so that no other test's requests are in its queue."""

    def __post_init__(self) -> None:
        self.spec = ToyDecoder().spec.__class__(**{**vars(self.spec), "id": f"toy-{uuid.uuid4().hex[:8]}"})


@dataclass
class SlowNamed(Slow, Named):
    pass


async def test_requests_that_must_run_alone_run_one_after_the_other(url: str) -> None:
    decoder = Named()
    async with client(url, decoder) as dispatcher:
        asked = []
        for seed in range(4):
            ticket = toy_ticket(fresh(), seed=seed, model=decoder.spec.id)
            asked.append(asyncio.create_task(events(dispatcher, ticket)))
            while len(dispatcher.subscriptions) <= seed:
                await asyncio.sleep(0.001)
            await dispatcher.redis.hset(f"maskserve:job:{ticket.id}", "deaths", 2 if seed % 2 else 0)
        async with worker(url, decoder):
            made = await asyncio.gather(*asked)
    assert [type(found[-1]) for found in made] == [Done] * 4


async def test_a_worker_whose_engine_died_gives_back_what_it_has_and_ends(url: str) -> None:
    decoder = SlowNamed()
    decoder.hold.set()
    async with client(url, decoder) as dispatcher:
        asked = asyncio.create_task(events(dispatcher, toy_ticket(fresh(), model=decoder.spec.id)))
        async with worker(url, decoder) as broken:
            while not broken.runs:
                await asyncio.sleep(0.01)
            [run] = broken.runs.values()
            broken.engine._die("the device is gone")
            while broken.runs:
                await asyncio.sleep(0.01)
            assert broken.broken
            decoder.hold.clear()
        async with worker(url, ToyDecoder(spec=decoder.spec)):
            assert isinstance((await asked)[-1], Done)
        deaths = await dispatcher.redis.hget(f"maskserve:job:{run.attempt.id}", "deaths")
    assert deaths is None, "nobody died"


async def test_leases_are_kept_while_a_worker_drains(url: str) -> None:
    decoder = SlowNamed()
    decoder.hold.set()
    async with client(url, decoder) as dispatcher, worker(url, decoder) as stopping:
        asked = asyncio.create_task(events(dispatcher, toy_ticket(fresh(), model=decoder.spec.id)))
        while not stopping.runs:
            await asyncio.sleep(0.01)
        [id] = stopping.runs
        stop = asyncio.create_task(stopping.stop(20))
        for _ in range(8):
            await asyncio.sleep(0.5)
            await dispatcher.records.sweep()
            assert await dispatcher.redis.zscore(LEASES, id) is not None
        decoder.hold.clear()
        assert isinstance((await asked)[-1], Done)
        await stop


async def test_a_store_that_is_away_for_a_moment_costs_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, put, get, failures = Named(), RedisStore.put, RedisStore.get, [3, 3]

    async def putting(self: RedisStore, key: str, content: bytes, seconds: float) -> None:
        failures[0] -= 1
        if failures[0] >= 0:
            raise StoreAway("away")
        await put(self, key, content, seconds)

    async def getting(self: RedisStore, key: str) -> bytes | None:
        failures[1] -= 1
        if failures[1] >= 0:
            raise StoreAway("away")
        return await get(self, key)

    monkeypatch.setattr(RedisStore, "put", putting)
    monkeypatch.setattr(RedisStore, "get", getting)
    async with client(url, decoder) as dispatcher, worker(url, decoder):
        found = await events(dispatcher, toy_ticket(fresh(), model=decoder.spec.id, n=2))
    assert isinstance(found[-1], Done) and len(tokens(found)) == 2 and failures[0] < 0 and failures[1] < 0


async def test_a_burst_is_bounded_and_who_leaves_frees_his_place(url: str) -> None:
    decoder = Named()
    async with client(url, decoder, max_waiting=8) as dispatcher:
        tickets = [toy_ticket(fresh(), model=decoder.spec.id) for _ in range(40)]
        found = await asyncio.gather(*map(dispatcher.submit, tickets), return_exceptions=True)
        taken = [one for one in found if not isinstance(one, BaseException)]
        assert len(taken) == 8 and sum(isinstance(one, QueueFull) for one in found) == 32
        for subscription in taken:
            subscription.close()
        while await dispatcher.records.waiting([decoder.spec.id]):
            await asyncio.sleep(0.01)
        assert not dispatcher.subscriptions


async def test_a_deadline_ends_a_request_that_nobody_takes(url: str) -> None:
    decoder = Named()
    async with client(url, decoder) as dispatcher:
        ticket = toy_ticket(fresh(), model=decoder.spec.id, deadline=dispatcher.now() + 0.1)
        [*_, last] = await events(dispatcher, ticket)
    assert isinstance(last, Failed) and last.code == "deadline_exceeded"


async def test_a_request_that_redis_forgot_is_asked_for_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "SILENCE_SECONDS", 0.3)
    decoder = Named()
    async with client(url, decoder) as dispatcher:
        ticket = toy_ticket(fresh(), model=decoder.spec.id)
        asked = asyncio.create_task(events(dispatcher, ticket))
        while not dispatcher.subscriptions:
            await asyncio.sleep(0.001)
        model = decoder.spec.id
        await dispatcher.redis.delete(f"maskserve:job:{ticket.id}", f"maskserve:queue:{model}:1")
        async with worker(url, decoder):
            assert isinstance((await asked)[-1], Done)


async def test_cancelling_reaches_the_worker_at_once(url: str) -> None:
    decoder = SlowNamed(seconds=0.03)
    async with client(url, decoder) as dispatcher, worker(url, decoder):
        subscription = await dispatcher.submit(toy_ticket(fresh(), model=decoder.spec.id, steps=16))
        seen: list[Event] = []
        async for event in subscription:
            seen.append(event)
            if sum(isinstance(one, Progress) for one in seen) == 2:
                subscription.close()
                break
        while decoder.live:
            await asyncio.sleep(0.005)
        assert sum(kind == "step" for kind, _ in decoder.calls) <= 6
