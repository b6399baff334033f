"""What every store promises, whatever it keeps its bytes in."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.artefacts.base import LONGEST_KEY, Store
from service.artefacts.folder import FolderStore
from service.artefacts.open import open_store
from service.artefacts.remote import RemoteStore

HOUR = 3600.0
KINDS = ["memory", "folder", "fsspec-memory", "fsspec-file", pytest.param("redis", marks=pytest.mark.redis)]

STRANGE_KEYS = [
    "", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/../b", "a/./b", "a..b", "a b", "a\n", "ä", "a~b",
    "a\\b", "a%2f", "a" * (LONGEST_KEY + 1),
]  # fmt: skip


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    match request.param:
        case "memory":
            store: Store = open_store("memory:")
        case "folder":
            store = FolderStore(tmp_path / "new" / "folder")
        case "fsspec-memory":
            store = RemoteStore(f"memory://{tmp_path.name}-{secrets.token_hex(4)}")
        case "fsspec-file":
            store = RemoteStore(f"file://{tmp_path}/remote")
        case _:
            store = open_store(request.getfixturevalue("redis_url"))
    yield store
    await store.close()


@pytest.fixture
def key() -> str:
    """A new one each time: a server may be shared with others."""
    return f"req_{secrets.token_hex(8)}/final-0"


async def test_what_was_put_is_got(store: Store, key: str) -> None:
    await store.put(key, b"picture", HOUR)
    assert await store.get(key) == b"picture"
    assert await store.get(key) == b"picture"


async def test_the_last_content_counts(store: Store, key: str) -> None:
    await store.put(key, b"a long first one", HOUR)
    await store.put(key, b"second", HOUR)
    assert await store.get(key) == b"second"


async def test_unknown_keys_have_nothing(store: Store, key: str) -> None:
    assert await store.get(key) is None
    await store.delete(key)


async def test_deleted_is_gone(store: Store, key: str) -> None:
    await store.put(key, b"picture", HOUR)
    await store.delete(key)
    assert await store.get(key) is None
    await store.put(key, b"again", HOUR)
    assert await store.get(key) == b"again"


async def test_it_is_gone_when_its_time_is_over_and_the_key_is_free(store: Store, key: str) -> None:
    await store.put(key, b"picture", 0.05)
    await store.put(f"{key}-lasting", b"other", HOUR)
    async with asyncio.timeout(20):
        while await store.get(key) is not None:
            await asyncio.sleep(0.01)
    assert await store.get(f"{key}-lasting") == b"other"
    await store.put(key, b"new", HOUR)
    assert await store.get(key) == b"new"


async def test_replacing_gives_a_new_time(store: Store, key: str) -> None:
    await store.put(key, b"picture", 0.05)
    await store.put(key, b"picture", HOUR)
    await asyncio.sleep(0.1)
    assert await store.get(key) == b"picture"


@pytest.mark.parametrize("seconds", [0.0, -1.0])
async def test_no_time_keeps_nothing_and_ends_what_was(store: Store, key: str, seconds: float) -> None:
    await store.put(key, b"picture", HOUR)
    await store.put(key, b"picture", seconds)
    assert await store.get(key) is None


@pytest.mark.parametrize("size", [0, 5 << 20])
async def test_any_bytes_come_back(store: Store, key: str, size: int) -> None:
    content = (bytes(range(256)) * (size // 256 + 1))[:size]
    await store.put(key, content, HOUR)
    assert await store.get(key) == content


async def test_a_hundred_at_once(store: Store, key: str) -> None:
    names = [f"{key}/{n}" for n in range(100)]
    await asyncio.gather(*(store.put(name, name.encode(), HOUR) for name in names))
    assert await asyncio.gather(*map(store.get, names)) == [name.encode() for name in names]


async def test_readers_see_whole_contents_while_it_is_replaced(store: Store, key: str) -> None:
    contents = [bytes([n]) * 100_000 * (n + 1) for n in range(8)]
    await store.put(key, contents[0], HOUR)

    async def read() -> list[bytes | None]:
        return [await store.get(key) for _ in range(16)]

    *seen, _, _ = await asyncio.gather(
        read(), read(), *(store.put(key, content, HOUR) for content in contents), return_exceptions=False
    )
    assert all(found in contents for reads in seen[:2] for found in reads)  # type: ignore[union-attr]


async def test_a_key_may_be_the_beginning_of_another(store: Store, key: str) -> None:
    await store.put(f"{key}/part", b"longer", HOUR)
    await store.put(key, b"shorter", HOUR)
    assert await store.get(key) == b"shorter"
    assert await store.get(f"{key}/part") == b"longer"


@pytest.mark.parametrize("key", STRANGE_KEYS)
async def test_keys_that_could_lead_elsewhere_are_refused(store: Store, key: str) -> None:
    for call in (store.put(key, b"", HOUR), store.get(key), store.delete(key), store.put(key, b"", 0)):
        with pytest.raises(ValueError, match="not an artefact key"):
            await call


async def test_the_longest_key_is_kept(store: Store) -> None:
    key = secrets.token_hex(LONGEST_KEY // 2)
    await store.put(key, b"picture", HOUR)
    assert await store.get(key) == b"picture"
    await store.delete(key)
