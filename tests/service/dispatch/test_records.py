"""Who may publish, what is kept, and when a request runs alone or is given up."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from service.dispatch.queue.records import Attempt, Records

SAMPLES = 2


@pytest.fixture
async def records(url: str) -> AsyncIterator[Records]:
    redis = Redis.from_url(url)
    yield Records(redis, keep_seconds=60)
    await redis.aclose()


async def begun(records: Records, name: str) -> Attempt:
    attempt = await records.begin(name, "w:1")
    assert attempt is not None
    return attempt


async def test_an_id_is_taken_once(records: Records, name: str) -> None:
    assert await records.open(name, b"ticket") and not await records.open(name, b"other")
    assert (await begun(records, name)).ticket == b"ticket"
    assert await records.begin("nobody", "w:1") is None


async def test_only_the_newest_attempt_writes(records: Records, name: str) -> None:
    await records.open(name, b"t")
    old = await begun(records, name)
    assert await records.publish(old, b"p0", "Progress") and await records.keep(old, 0, 1, b"s1")
    new = await begun(records, name)
    assert not await records.publish(old, b"p1", "Progress") and not await records.keep(old, 0, 9, b"s9")
    assert await records.publish(new, b"p2", "Progress") and await records.keep(new, 1, 2, b"s2")
    assert [content for _, content in await records.events(name)] == [b"p0", b"p2"]
    assert await records.states(name, SAMPLES) == (b"s1", b"s2")


async def test_a_sample_is_published_once_and_nothing_follows_the_end(records: Records, name: str) -> None:
    await records.open(name, b"t")
    first = await begun(records, name)
    assert await records.publish(first, b"made", "SampleDone", 0)
    second = await begun(records, name)
    assert await records.publish(second, b"made again", "SampleDone", 0)
    assert await records.publish(second, b"done", "Done") and not await records.publish(second, b"x", "Failed")
    assert [content for _, content in await records.events(name)] == [b"made", b"done"]
    assert await records.made(name) == {0: b"made"}
    assert await records.begin(name, "w:1") is None, "it is over"


async def test_states_are_of_all_samples_or_none(records: Records, name: str) -> None:
    await records.open(name, b"t")
    attempt = await begun(records, name)
    await records.keep(attempt, 1, 4, b"s")
    assert await records.states(name, SAMPLES) == ()


async def test_readers_go_on_where_they_were(records: Records, name: str) -> None:
    await records.open(name, b"t")
    attempt = await begun(records, name)
    for at in range(3):
        await records.publish(attempt, b"%d" % at, "Progress")
    [(first, _), *_] = await records.events(name)
    assert [content for _, content in await records.events(name, after=first)] == [b"1", b"2"]
    waiting = asyncio.create_task(records.events(name, after="$", block_ms=5000))
    await asyncio.sleep(0.05)
    await records.publish(attempt, b"3", "Progress")
    assert [content for _, content in await waiting] == [b"3"]


async def test_two_deaths_make_a_request_lonely_and_two_alone_without_a_step_end_it(
    records: Records, name: str
) -> None:
    await records.open(name, b"t")
    assert not (await begun(records, name)).lonely
    assert not (await begun(records, name)).lonely  # one death
    third = await begun(records, name)
    assert third.lonely and third.deaths == 2 and not third.hopeless
    await records.alone(third)
    fourth = await begun(records, name)
    assert fourth.stuck == 1 and not fourth.hopeless
    await records.alone(fourth)
    await records.keep(fourth, 0, 3, b"s")  # a step forward
    assert (await begun(records, name)).stuck == 1, "that death does not count"
    for _ in range(2):
        attempt = await begun(records, name)
        await records.alone(attempt)
    assert (await begun(records, name)).hopeless


async def test_deaths_beside_others_never_end_it(records: Records, name: str) -> None:
    await records.open(name, b"t")
    attempts = [await begun(records, name) for _ in range(9)]  # killed while it waits to be alone
    assert attempts[-1].deaths == 8 and not attempts[-1].hopeless


async def test_handing_back_is_no_death(records: Records, name: str) -> None:
    await records.open(name, b"t")
    for _ in range(5):
        attempt = await begun(records, name)
        await records.hand_back(attempt)
    assert (await begun(records, name)).deaths == 0


async def test_a_cancelled_request_says_so_to_whoever_begins(records: Records, name: str) -> None:
    await records.open(name, b"t")
    await records.cancel(name)
    assert (await begun(records, name)).cancelled
    await records.cancel("nobody")
    assert await records.begin("nobody", "w:1") is None
