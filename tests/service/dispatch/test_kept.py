"""Requests that outlive their connection: the same in this process and over Redis."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from service.dispatch.base import Dispatcher, Known, Terms
from service.dispatch.standing import standing
from service.engine.events import Done, Event, Failed, Progress, SampleDone
from service.engine.request import OtherBody, QueueFull, Ticket
from tests.fakes import ToyDecoder, toy_ticket
from tests.service.dispatch.places import Place, Slow, tokens

pytestmark = pytest.mark.timeout(60)
KEPT = Terms(kept=True, listed=True, body="b", note=b"n")


def fresh(**changes: object) -> Ticket:
    return replace(toy_ticket(f"req_{uuid.uuid4().hex[:12]}", steps=8, n=2), progress=True, **changes)


async def ended(dispatcher: Dispatcher, id: str) -> Known:
    while (known := await dispatcher.jobs.find(id)) is None or known.ended is None:
        await asyncio.sleep(0.01)
    return known


async def heard(events: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in events]


async def test_it_goes_on_when_nobody_listens_and_is_found_again(place: Place) -> None:
    ticket = fresh()
    async with place(ToyDecoder()) as dispatcher:
        (await dispatcher.submit(ticket, KEPT)).close()
        known = await ended(dispatcher, ticket.id)
        told = await dispatcher.jobs.told(ticket.id)
        first = await dispatcher.jobs.sample(ticket.id, 0)
        again = await heard(await dispatcher.jobs.follow(ticket.id))
        assert await dispatcher.jobs.sample(ticket.id, 9) is None
    assert known.note == b"n" and known.ticket.request.seed == ticket.request.seed
    assert known.created <= known.ended < known.expires
    assert standing(told, 2).status == "completed" and isinstance(told[-1], Done)
    assert sum(isinstance(event, SampleDone) for event in told) == 2
    assert len(tokens(again)) == 2 and first.artifact.tokens.tolist() == tokens(again)[0]


async def test_requests_that_are_not_kept_are_not_found(place: Place) -> None:
    ticket = fresh()
    async with place(ToyDecoder()) as dispatcher:
        await heard(await dispatcher.submit(ticket))
        assert await dispatcher.jobs.find(ticket.id) is None and await dispatcher.jobs.told("nobody") in ([], None)


async def test_the_same_id_is_the_same_request_and_runs_once(place: Place) -> None:
    decoder, ticket = ToyDecoder(), fresh()
    async with place(decoder) as dispatcher:
        both = await asyncio.gather(*(dispatcher.submit(ticket, KEPT) for _ in range(2)))
        found = await asyncio.gather(*map(heard, both))
        late = await heard(await dispatcher.submit(ticket, KEPT))
        with pytest.raises(OtherBody):
            await dispatcher.submit(ticket, replace(KEPT, body="other"))
    assert tokens(found[0]) == tokens(found[1]) == tokens(late)
    assert sum(kind == "finish" for kind, _ in decoder.calls) <= 2


async def test_who_comes_back_reads_on_where_he_was(place: Place) -> None:
    ticket = fresh()
    async with place(Slow(seconds=0.005)) as dispatcher:
        whole = await heard(await dispatcher.submit(ticket, KEPT))
        assert all(event.at for event in whole)
        made = next(event for event in whole if isinstance(event, SampleDone))
        rest = await heard(await dispatcher.jobs.follow(ticket.id, made.at))
        nothing = await heard(await dispatcher.jobs.follow(ticket.id, whole[-1].at))
        with pytest.raises(ValueError):
            await dispatcher.jobs.follow(ticket.id, "yesterday")
    assert [event for event in rest if isinstance(event, SampleDone)] == [] or tokens(rest) != tokens(whole)
    assert made.at not in {event.at for event in rest} and isinstance(rest[-1], Done)
    assert [event for event in nothing if not isinstance(event, Done)] == []


async def test_a_failed_one_runs_again_under_its_id(place: Place) -> None:
    decoder, ticket = ToyDecoder(poisoned=frozenset({1})), fresh()
    ticket = replace(ticket, request=replace(ticket.request, seed=1))
    async with place(decoder) as dispatcher:
        [*_, last] = await heard(await dispatcher.submit(ticket, KEPT))
        assert isinstance(last, Failed) and standing(await dispatcher.jobs.told(ticket.id), 2).status == "failed"
        decoder.poisoned = frozenset()
        found = await heard(await dispatcher.submit(ticket, KEPT))
        assert isinstance(found[-1], Done) and not any(isinstance(event, Failed) for event in found)
        assert standing(await dispatcher.jobs.told(ticket.id), 2).status == "completed"


@pytest.mark.parametrize("waits", [True, False])
async def test_cancelling_ends_it_for_everybody(place: Place, waits: bool) -> None:
    decoder, ticket = Slow(seconds=0.02), fresh()
    async with place(decoder, max_waiting=64) as dispatcher:
        others = [await dispatcher.submit(fresh(), KEPT) for _ in range(12 if waits else 0)]
        subscription = await dispatcher.submit(ticket, KEPT)
        listening = asyncio.create_task(heard(subscription))
        while not waits and not any(isinstance(one, Progress) for one in await dispatcher.jobs.told(ticket.id)):
            await asyncio.sleep(0.005)
        await dispatcher.jobs.cancel(ticket.id)
        [*_, last] = await listening
        assert isinstance(last, Failed) and last.code == "cancelled"
        state = standing(await dispatcher.jobs.told(ticket.id), 2)
        assert state.status == "failed" and state.progress < 1
        await dispatcher.jobs.cancel(ticket.id)
        await dispatcher.jobs.cancel("nobody")
        for other in others:
            await heard(other)


async def test_jobs_are_listed_by_owner_newest_or_oldest_first(place: Place) -> None:
    mine, other = uuid.uuid4().hex, uuid.uuid4().hex
    async with place(ToyDecoder()) as dispatcher:
        tickets = [fresh(owner=mine) for _ in range(5)]
        for ticket in [*tickets, fresh(owner=other)]:
            await heard(await dispatcher.submit(ticket, KEPT))
            await asyncio.sleep(0.002)
        await heard(await dispatcher.submit(fresh(owner=mine), replace(KEPT, listed=False)))
        ids = [ticket.id for ticket in tickets]
        page = await dispatcher.jobs.page(mine, "", 3, newest_first=True)
        assert page.ids == ids[:1:-1] and page.more
        rest = await dispatcher.jobs.page(mine, page.ids[-1], 3, newest_first=True)
        assert rest.ids == ids[1::-1] and not rest.more
        assert (await dispatcher.jobs.page(mine, ids[1], 9, newest_first=False)).ids == ids[2:]
        with pytest.raises(KeyError):
            await dispatcher.jobs.page(other, ids[0], 3, newest_first=True)
        await dispatcher.jobs.forget(ids[2])
        assert await dispatcher.jobs.find(ids[2]) is None and await dispatcher.jobs.sample(ids[2], 0) is None
        assert (await dispatcher.jobs.page(mine, "", 9, newest_first=False)).ids == [*ids[:2], *ids[3:]]
        assert (await dispatcher.jobs.page("nobody", "", 9, newest_first=False)).ids == []


async def test_ends_are_told_once_and_again_when_that_failed(place: Place) -> None:
    ticket, terms = fresh(), replace(KEPT, webhook="https://hooks.example.com/x")
    async with place(ToyDecoder()) as dispatcher:
        await heard(await dispatcher.submit(fresh(), KEPT))
        assert await owed(dispatcher, ticket) == []
        await heard(await dispatcher.submit(ticket, terms))
        [due] = await owed(dispatcher, ticket)
        assert (due.id.rpartition("-")[0], due.url, due.tries) == (ticket.id, terms.webhook, 0)
        assert await owed(dispatcher, ticket) == [], "somebody is at it"
        await dispatcher.ledger.postponed(due.id, 0.0)
        [due] = await owed(dispatcher, ticket)
        assert due.tries == 1
        await dispatcher.ledger.postponed(due.id, 60.0)
        assert await owed(dispatcher, ticket) == []
        await dispatcher.ledger.postponed(due.id, 0.0)
        await dispatcher.ledger.settled(due.id)
        assert await owed(dispatcher, ticket) == []


async def test_the_end_of_an_earlier_run_settles_nothing_of_a_later_one(place: Place) -> None:
    decoder, terms = ToyDecoder(poisoned=frozenset({1})), replace(KEPT, webhook="https://hooks.example.com/x")
    ticket = fresh()
    ticket = replace(ticket, request=replace(ticket.request, seed=1))
    async with place(decoder) as dispatcher:
        await heard(await dispatcher.submit(ticket, terms))
        [failed] = await owed(dispatcher, ticket)
        decoder.poisoned = frozenset()
        await heard(await dispatcher.submit(ticket, terms))
        await dispatcher.ledger.settled(failed.id)
        [done] = await owed(dispatcher, ticket)
        assert done.id != failed.id
        await dispatcher.ledger.settled(done.id)


async def test_a_position_behind_the_end_ends_too(place: Place) -> None:
    ticket = fresh()
    async with place(ToyDecoder()) as dispatcher:
        whole = await heard(await dispatcher.submit(ticket, KEPT))
        run = whole[-1].at.partition("-")[0]
        assert isinstance((await heard(await dispatcher.jobs.follow(ticket.id, f"{run}9-9")))[-1], Done)
        with pytest.raises(ValueError):
            await dispatcher.jobs.follow(ticket.id, "99999999999999999999999-0")


async def owed(dispatcher: Dispatcher, ticket: Ticket) -> list:
    return [due for due in await dispatcher.ledger.owed(100) if due.id.startswith(ticket.id)]


async def test_the_waiting_room_holds_for_kept_ones_too(place: Place) -> None:
    decoder = Slow()
    decoder.hold.set()
    async with place(decoder, max_waiting=3) as dispatcher:
        with pytest.raises(QueueFull):
            for _ in range(80):
                (await dispatcher.submit(fresh(), KEPT)).close()
                await asyncio.sleep(0.005)
        decoder.hold.clear()


async def test_processes_that_share_jobs_share_a_secret(place: Place) -> None:
    async with place(ToyDecoder()) as dispatcher:
        assert await dispatcher.jobs.secret() == await dispatcher.jobs.secret()
        assert len(await dispatcher.jobs.secret()) >= 32
