"""Who may publish, what is kept, and when a request runs alone or is given up."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from service.dispatch.queue.records import LEASES, Attempt, Entry, Opened, Records
from service.engine.request import Priority

SAMPLES = 2


@pytest.fixture
async def records(url: str) -> AsyncIterator[Records]:
    redis = Redis.from_url(url)
    yield Records(redis, keep_seconds=60)
    await redis.aclose()


async def begun(records: Records, name: str) -> Attempt:
    """As after the death of the last one that had it."""
    await records.redis.delete(LEASES)
    if await records.redis.hexists(f"maskserve:job:{name}", "attempt"):
        await records.redis.lpush(f"maskserve:queue:{name}:1", name)
    attempt = await records.take([name], "w:1")  # a model of its own
    assert attempt is not None and attempt.id == name
    return attempt


def entry(name: str, ticket: bytes = b"t", **more: Any) -> Entry:
    return Entry(name, more.pop("model", name), more.pop("priority", Priority.NORMAL), ticket, **more)


async def opened(records: Records, name: str, ticket: bytes = b"t", most: int = 8, **more: Any) -> Opened:
    return (await records.open(entry(name, ticket, **more), most))[0]


async def test_an_id_is_taken_once(records: Records, name: str) -> None:
    assert await opened(records, name, b"ticket") is Opened.QUEUED
    assert await opened(records, name, b"other") is Opened.KNOWN
    assert (await begun(records, name)).ticket == b"ticket"
    assert await records.take([name], "w:1") is None, "it was queued once"


async def test_only_the_newest_attempt_writes(records: Records, name: str) -> None:
    await opened(records, name)
    old = await begun(records, name)
    assert await records.publish(old, b"p0", "Progress") and await records.keep(old, 0, 1, b"s1")
    new = await begun(records, name)
    assert not await records.publish(old, b"p1", "Progress") and not await records.keep(old, 0, 9, b"s9")
    assert await records.publish(new, b"p2", "Progress") and await records.keep(new, 1, 2, b"s2")
    assert [content for _, content in await records.events(name)] == [b"p0", b"p2"]
    assert await records.states(name, SAMPLES) == (b"s1", b"s2")


async def test_a_sample_is_published_once_and_nothing_follows_the_end(records: Records, name: str) -> None:
    await opened(records, name)
    first = await begun(records, name)
    assert await records.publish(first, b"made", "SampleDone", 0)
    second = await begun(records, name)
    assert await records.publish(second, b"made again", "SampleDone", 0)
    assert await records.publish(second, b"done", "Done") and not await records.publish(second, b"x", "Failed")
    assert [content for _, content in await records.events(name)] == [b"made", b"done"]
    assert {sample: made for sample, (_, made) in (await records.made(name)).items()} == {0: b"made"}
    await records.redis.lpush(f"maskserve:queue:{name}:1", name)
    assert await records.take([name], "w:1") is None, "it is over"


async def test_states_are_of_all_samples_or_none(records: Records, name: str) -> None:
    await opened(records, name)
    attempt = await begun(records, name)
    await records.keep(attempt, 1, 4, b"s")
    assert await records.states(name, SAMPLES) == ()


async def test_readers_go_on_where_they_were(records: Records, name: str) -> None:
    await opened(records, name)
    attempt = await begun(records, name)
    for at in range(3):
        await records.publish(attempt, b"%d" % at, "Progress")
    [(first, _), *_] = await records.events(name)
    assert [content for _, content in await records.events(name, after=first)] == [b"1", b"2"]
    waiting = asyncio.create_task(records.events(name, after="$", block_ms=5000))
    await asyncio.sleep(0.05)
    await records.publish(attempt, b"3", "Progress")
    assert [content for _, content in await waiting] == [b"3"]


async def test_two_deaths_make_a_request_lonely_and_three_alone_without_a_step_end_it(
    records: Records, name: str
) -> None:
    await opened(records, name)
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
        assert not attempt.hopeless
    assert (await begun(records, name)).hopeless


async def test_deaths_beside_others_never_end_it(records: Records, name: str) -> None:
    await opened(records, name)
    attempts = [await begun(records, name) for _ in range(9)]  # killed while it waits to be alone
    assert attempts[-1].deaths == 8 and not attempts[-1].hopeless


async def test_handing_back_is_no_death_and_only_the_newest_may(records: Records, name: str) -> None:
    await opened(records, name)
    for _ in range(5):
        attempt = await records.take([name], "w:1")
        assert attempt is not None
        await records.hand_back(attempt)
        await records.hand_back(attempt)  # once is enough
    old = await records.take([name], "w:1")
    assert old is not None and old.deaths == 0
    new = await begun(records, name)
    await records.hand_back(old)
    assert await records.beat(new) is False and await records.beat(old) is None
    assert await records.take([name], "w:1") is None


async def test_a_lease_that_runs_out_brings_the_request_back(records: Records, name: str) -> None:
    await opened(records, name)
    first = await records.take([name], "w:1")
    assert first is not None and await records.sweep() == 0 and await records.take([name], "w:2") is None
    await records.redis.zadd(LEASES, {name: 0})
    assert await records.sweep() == 1
    assert await records.beat(first) is False, "alive after all, before anybody took it"
    await records.redis.zadd(LEASES, {name: 0})
    assert await records.sweep() == 1
    second = await records.take([name], "w:2")
    assert second is not None and second.deaths == 1 and await records.beat(first) is None


async def test_a_waiting_request_that_is_cancelled_is_over_a_running_one_hears_of_it(
    records: Records, name: str
) -> None:
    await opened(records, name)
    await records.cancel(name, b"over")
    assert await records.take([name], "w:1") is None and await records.waiting([name]) == 0
    assert [content for _, content in await records.events(name)] == [b"over"]
    other = f"{name}-2"
    await opened(records, other, model=name)
    attempt = await records.take([name], "w:1")
    assert attempt is not None
    await records.cancel(other, b"over")
    assert await records.beat(attempt) is True
    await records.cancel("nobody", b"over")


async def test_the_queue_of_a_model_is_bounded_the_urgent_go_first_and_waiting_counts(
    records: Records, name: str
) -> None:
    for at, priority in enumerate((Priority.LOW, Priority.NORMAL, Priority.HIGH)):
        assert await opened(records, f"{name}-{at}", model=name, priority=priority, most=3) is Opened.QUEUED
    assert await opened(records, name, most=3) is Opened.FULL and await records.waiting([name]) == 3
    await records.redis.hincrby(f"maskserve:job:{name}-0", "at", -120_000)  # LOW, but for two minutes
    taken = [await records.take([name], "w:1") for _ in range(3)]
    assert [attempt.id[-1] for attempt in taken if attempt] == ["0", "2", "1"]


@pytest.mark.parametrize("lost", ["all", "place"])
async def test_what_redis_has_lost_is_queued_again(records: Records, name: str, lost: str) -> None:
    await opened(records, name)
    await records.revive(entry(name))
    assert await records.waiting([name]) == 1, "nothing was lost"
    attempt = await records.take([name], "w:1")
    await records.revive(entry(name))
    assert await records.waiting([name]) == 0, "it runs"
    if lost == "all":
        await records.redis.delete(f"maskserve:job:{name}")
    await records.redis.delete(LEASES)
    await records.revive(entry(name))
    again = await records.take([name], "w:1")
    assert attempt is not None and again is not None and again.ticket == b"t"


async def test_attempts_of_a_forgotten_request_stay_fenced_off(records: Records, name: str) -> None:
    await opened(records, name)
    await records.redis.hset(f"maskserve:job:{name}", "kept", 1)
    paused = await begun(records, name)
    current = await begun(records, name)
    assert await records.publish(current, b"done", "Done")
    await records.forget(name, "")
    assert await records.kept(name) is None and await records.over(name, "1")
    await records.revive(entry(name))
    assert await records.take([name], "w:1") is None, "a reader that was slow does not bring it back"
    assert await opened(records, name) is Opened.QUEUED
    again = await begun(records, name)
    assert again.deaths == 0 and not await records.publish(paused, b"x", "Failed")
    assert await records.beat(paused) is None and await records.beat(again) is False


async def test_runs_of_a_request_do_not_mix(records: Records, name: str) -> None:
    await opened(records, name)
    first = await begun(records, name)
    await records.publish(first, b"made", "SampleDone", 0)
    await records.publish(first, b"failed", "Failed")
    _, run = await records.open(entry(name), 8)
    second = await begun(records, name)
    await records.publish(second, b"other", "SampleDone", 0)
    assert run == "2" and second.deaths == 0
    assert [content for _, content in await records.events(name, "1")] == [b"made", b"failed"]
    assert [content for _, content in await records.events(name, "2")] == [b"other"]
    assert await records.over(name, "1") and not await records.over(name, "2")
    assert not await records.publish(first, b"x", "Progress")


async def test_a_list_forgets_what_has_expired(records: Records, name: str) -> None:
    for at in range(12):
        await opened(records, f"{name}-{at}", model=name, most=99, owner=name)
        await records.redis.delete(f"maskserve:job:{name}-{at}")
    assert await records.redis.zcard(f"maskserve:jobs:of:{name}") < 6
    await opened(records, f"{name}-x", model=name, most=99, owner=name)
    assert await records.page(name, "", 5, True) == await records.page(name, "", 5, False) == [f"{name}-x"]


async def test_a_cancelled_request_whose_worker_died_ends(records: Records, name: str) -> None:
    await opened(records, name)
    attempt = await begun(records, name)
    await records.redis.zadd(LEASES, {name: 1})
    await records.cancel(name, b"over")
    assert [content for _, content in await records.events(name)] == [b"over"]
    assert await records.beat(attempt) is None


async def test_a_key_stands_for_one_request(records: Records, name: str) -> None:
    assert await opened(records, name, body="a") is Opened.QUEUED
    assert await opened(records, name, body="b") is Opened.OTHER
    await records.redis.delete(f"maskserve:body:{name}")  # a day later
    assert (
        await opened(records, name, body="b") is Opened.OTHER and await opened(records, name, body="a") is Opened.KNOWN
    )
