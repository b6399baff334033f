"""Artefacts in Redis or Valkey, which ends them itself."""

import asyncio
from collections.abc import Awaitable
from math import ceil
from typing import TypeVar

from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, RedisError

from service.artefacts.base import StoreAway, StoreFull, checked

PREFIX = "maskserve:artefact:"
PATIENCE_SECONDS = 1.5
SLOWEST_BYTES_PER_SECOND = 5e6

T = TypeVar("T")


class RedisStore:
    """`client` must return bytes (no `decode_responses`); `close` closes it where it is `owned`.

    A call that takes longer than `patience` seconds, sending the content not counted, raises StoreAway,
    however long the client itself would go on trying.
    """

    def __init__(self, client: Redis, *, patience: float = PATIENCE_SECONDS, owned: bool = False) -> None:
        self._client = client
        self._patience = patience
        self._owned = owned

    async def put(self, key: str, content: bytes, seconds: float) -> None:
        milliseconds = ceil(seconds * 1000)
        if milliseconds <= 0:
            return await self.delete(key)
        patience = self._patience + len(content) / SLOWEST_BYTES_PER_SECOND
        await _answer(self._client.set(PREFIX + checked(key), content, px=milliseconds), patience)

    async def get(self, key: str) -> bytes | None:
        content: bytes | None = await _answer(self._client.get(PREFIX + checked(key)), self._patience)
        return content

    async def delete(self, key: str) -> None:
        await _answer(self._client.delete(PREFIX + checked(key)), self._patience)

    async def close(self) -> None:
        if self._owned:
            await self._client.aclose()


async def _answer(reply: Awaitable[T], patience: float) -> T:
    try:
        async with asyncio.timeout(patience):
            return await reply
    except OutOfMemoryError as error:
        raise StoreFull("Redis has reached its maxmemory") from error
    except (RedisError, OSError) as error:
        raise StoreAway(f"Redis: {str(error) or 'no answer in time'}") from error
