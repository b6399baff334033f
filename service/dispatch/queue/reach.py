"""Redis and the store may be away for a while: who waits how long."""

import asyncio
import builtins
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import structlog
from redis.exceptions import ConnectionError, RedisError, TimeoutError

from service.artefacts.base import StoreAway
from service.engine.request import QueueAway

log = structlog.get_logger()

T = TypeVar("T")

AWAY_SECONDS = 2.0  # how long a client waits for Redis, and how long it counts as away after a failure
LOST_SECONDS = 60.0  # how long a running request waits
GONE = (RedisError, OSError, StoreAway)
PASSING = (ConnectionError, TimeoutError, OSError, StoreAway)  # of these what helps to wait for


@asynccontextmanager
async def reached() -> AsyncIterator[None]:
    """Raises QueueAway where what is done within fails or takes too long."""
    try:
        async with asyncio.timeout(AWAY_SECONDS):
            yield
    except (*GONE, builtins.TimeoutError) as error:
        log.error("the queue cannot be reached", why=str(error) or type(error).__name__)
        raise QueueAway("the queue cannot be reached; try again soon") from None


async def surely(act: Callable[[], Awaitable[T]], wait: bool = True) -> T | None:
    """The answer, or None when they do not come back or are not waited for."""
    end = time.monotonic() + (LOST_SECONDS if wait else 0.0)
    while True:
        try:
            return await act()
        except GONE as error:
            if time.monotonic() >= end or not isinstance(error, PASSING):
                log.error("not reached", why=str(error) or type(error).__name__)
                return None
            await asyncio.sleep(0.2)
