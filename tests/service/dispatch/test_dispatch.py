"""What every dispatcher promises, asked of the one in this process and of the one over Redis."""

import asyncio
import uuid

import numpy as np
import pytest

from service.engine.events import Done, Failed, Preview, Progress, SampleDone, Started
from service.engine.request import Draining, QueueFull, UnknownModel
from tests.fakes import ToyDecoder, toy_ticket
from tests.service.dispatch.places import Place, Slow, events, tokens

pytestmark = pytest.mark.timeout(60)


def fresh() -> str:
    return f"req_{uuid.uuid4().hex[:12]}"


async def test_a_request_is_made_and_told_of(place: Place) -> None:
    async with place(ToyDecoder()) as dispatcher:
        found = await events(dispatcher, toy_ticket(fresh(), seed=3, n=2, partials=2))
    assert isinstance(found[-1], Done)
    assert sum(isinstance(event, Started) for event in found) == 1
    assert {type(event) for event in found} >= {Progress, SampleDone}
    assert all(event.request == found[0].request for event in found)
    previews = [event for event in found if isinstance(event, Preview)]
    assert all(isinstance(event.artifact.array, np.ndarray) for event in previews)
    assert len(tokens(found)) == 2


async def test_the_same_request_makes_the_same_bytes_anywhere(place: Place) -> None:
    async with place(ToyDecoder()) as dispatcher:
        there = await events(dispatcher, toy_ticket(fresh(), seed=5, n=3, steps=6))
        again = await events(dispatcher, toy_ticket(fresh(), seed=5, n=3, steps=6))
    decoder = ToyDecoder()
    alone = []
    for seq in decoder.admit(toy_ticket("a", seed=5, n=3, steps=6).request):
        while (work := decoder.next_work(seq)) and work.kind != "finish":
            decoder.run(work, [seq])
        alone.append(decoder.finish([seq])[0].tokens.tolist())
    assert tokens(there) == tokens(again) == alone


async def test_many_at_once_do_not_mix(place: Place) -> None:
    async with place(ToyDecoder(), max_waiting=64) as dispatcher:
        made = await asyncio.gather(*(events(dispatcher, toy_ticket(fresh(), seed=seed)) for seed in range(12)))
        again = await asyncio.gather(*(events(dispatcher, toy_ticket(fresh(), seed=seed)) for seed in range(12)))
    assert [tokens(found) for found in made] == [tokens(found) for found in again]
    assert len({str(tokens(found)) for found in made}) == 12


async def test_who_stops_listening_cancels(place: Place) -> None:
    decoder = Slow(seconds=0.02)
    async with place(decoder) as dispatcher:
        subscription = await dispatcher.submit(toy_ticket(fresh(), steps=16, n=4))
        async for event in subscription:
            if isinstance(event, Progress):
                break
        subscription.close()
        while decoder.live:
            await asyncio.sleep(0.01)
        assert sum(kind == "step" for kind, _ in decoder.calls) < 16


async def test_a_request_that_fails_is_told_so_and_others_go_on(place: Place) -> None:
    async with place(ToyDecoder(poisoned=frozenset({1}))) as dispatcher:
        made = await asyncio.gather(*(events(dispatcher, toy_ticket(fresh(), seed=seed)) for seed in range(3)))
    assert isinstance(made[0][-1], Done) and isinstance(made[2][-1], Done)
    assert isinstance(made[1][-1], Failed) and made[1][-1].code == "internal_error"


async def test_a_request_that_does_not_fit_is_told_why(place: Place) -> None:
    async with place(ToyDecoder(refused=frozenset({1}))) as dispatcher:
        [*_, last] = await events(dispatcher, toy_ticket(fresh(), seed=1))
    assert isinstance(last, Failed) and (last.code, last.message) == ("invalid_value", "seed 1 is refused")


async def test_a_deadline_is_kept(place: Place) -> None:
    async with place(Slow(seconds=0.05)) as dispatcher:
        [*_, last] = await events(dispatcher, toy_ticket(fresh(), steps=16, deadline=dispatcher.now() + 0.3))
    assert isinstance(last, Failed) and last.code == "deadline_exceeded"


async def test_unknown_models_are_refused(place: Place) -> None:
    async with place(ToyDecoder()) as dispatcher:
        with pytest.raises(UnknownModel):
            await dispatcher.submit(toy_ticket(fresh(), model="nobody"))


async def test_the_waiting_room_is_bounded(place: Place) -> None:
    decoder = Slow()
    decoder.hold.set()
    async with place(decoder, max_waiting=3) as dispatcher:
        asked = []
        with pytest.raises(QueueFull) as full:
            for _ in range(80):
                asked.append(await dispatcher.submit(toy_ticket(fresh(), n=8)))
                await asyncio.sleep(0.005)
        assert full.value.retry_after >= 1 and len(asked) >= 3
        decoder.hold.clear()
        last = await asyncio.gather(*(_last(subscription) for subscription in asked))
    assert all(isinstance(event, Done) for event in last)


async def _last(subscription) -> object:
    return [event async for event in subscription][-1]


async def test_draining_refuses_and_lets_finish(place: Place) -> None:
    async with place(Slow(seconds=0.01)) as dispatcher:
        running = asyncio.create_task(events(dispatcher, toy_ticket(fresh(), steps=8)))
        await asyncio.sleep(0.1)
        draining = asyncio.create_task(dispatcher.drain(20))
        await asyncio.sleep(0.01)
        with pytest.raises(Draining):
            await dispatcher.submit(toy_ticket(fresh()))
        assert isinstance((await running)[-1], Done)
        await draining
