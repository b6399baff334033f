"""A server that is full, goes away, comes back, or never answers."""

import asyncio
from pathlib import Path

import pytest

from service.artefacts.base import StoreAway, StoreFull
from service.artefacts.open import open_store
from tests.redis_server import redis_server

redis = pytest.importorskip("redis.asyncio")

from redis.asyncio.retry import Retry  # noqa: E402
from redis.backoff import ConstantBackoff  # noqa: E402
from redis.exceptions import ConnectionError  # noqa: E402

from service.artefacts.redis import PREFIX, RedisStore  # noqa: E402

pytestmark = pytest.mark.redis

HOUR = 3600.0


async def test_keys_have_a_prefix_and_an_end(redis_url: str) -> None:
    async with redis.Redis.from_url(redis_url) as client:
        store = RedisStore(client)
        await store.put("prefixed/a", b"content", HOUR)
        assert await client.get("maskserve:artefact:prefixed/a") == b"content"
        assert 0 < await client.pttl(f"{PREFIX}prefixed/a") <= HOUR * 1000
        await store.delete("prefixed/a")
        await store.close()
        assert await client.ping(), "the client is not the store's to close"


@pytest.mark.parametrize("opened", [True, False], ids=["opened by URL", "a client that tries for long"])
async def test_a_dead_server_is_away_within_two_seconds_and_found_again(tmp_path: Path, opened: bool) -> None:
    with redis_server(tmp_path, appendonly=True) as server:
        server.stop()  # skips with a server of REDIS_URL
        server.start()
        patient = redis.Redis.from_url(
            server.url, retry=Retry(ConstantBackoff(0.5), 9), retry_on_error=[ConnectionError]
        )
        store = open_store(server.url) if opened else RedisStore(patient, owned=True)
        await store.put("a", b"content", HOUR)
        await asyncio.to_thread(server.kill)
        async with asyncio.timeout(2):
            calls = store.put("a", b"new", HOUR), store.get("a"), store.delete("a")
            errors = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(error) for error in errors] == [StoreAway] * 3
        await asyncio.to_thread(server.start)
        assert await store.get("a") == b"content"
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        assert await store.get("a") == b"content"
        await store.close()


async def test_a_server_that_never_answers_is_away() -> None:
    left = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        left.set()

    silent = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    store = RedisStore(redis.Redis(host="127.0.0.1", port=port), patience=0.1, owned=True)
    async with asyncio.timeout(60):
        with pytest.raises(StoreAway, match="no answer in time"):
            await store.get("a")
        await left.wait()
    await store.close()
    silent.close()
    await silent.wait_closed()


async def test_a_server_without_memory_is_full_and_keeps_what_it_has(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        server.stop()  # skips with a server of REDIS_URL
        server.start()
        async with redis.Redis.from_url(server.url) as client:
            store = RedisStore(client)
            await store.put("a", b"content", HOUR)
            await client.config_set("maxmemory", 1)
            with pytest.raises(StoreFull):
                await store.put("b", b"content", HOUR)
            assert await store.get("a") == b"content"
            await client.config_set("maxmemory", 0)
            await store.put("b", b"content", HOUR)
