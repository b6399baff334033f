import pytest

from service.artefacts.base import StoreFull
from service.artefacts.memory import MemoryStore
from tests.service.artefacts.clock import Clock


async def test_what_ends_soonest_makes_room() -> None:
    store = MemoryStore(max_bytes=33)
    await store.put("a", b"." * 10, 200)
    await store.put("b", b"." * 10, 100)
    await store.put("c", b"." * 10, 300)
    await store.put("d", b"." * 10, 250)
    assert [await store.get(key) is not None for key in "abcd"] == [True, False, True, True]


async def test_what_is_too_big_alone_is_refused_and_takes_nothing_away() -> None:
    store = MemoryStore(max_bytes=33)
    await store.put("a", b"old", 100)
    with pytest.raises(StoreFull):
        await store.put("a", b"." * 33, 100)
    assert await store.get("a") == b"old"
    await store.put("a", b"." * 32, 100)
    assert await store.get("a") == b"." * 32


async def test_replaced_deleted_and_expired_bytes_are_free_again() -> None:
    clock = Clock()
    store = MemoryStore(max_bytes=22, now=clock)
    for _ in range(200):
        await store.put("a", b"." * 10, 100)
        await store.put("b", b"." * 10, 100)
        await store.delete("b")
    await store.put("b", b"." * 10, 50)
    assert await store.get("a") is not None
    clock.time += 60
    await store.put("c", b"." * 10, 10)
    assert [await store.get(key) is not None for key in "abc"] == [True, False, True]
