"""All that Redis holds of requests. Who may do what with them is decided by scripts that run in one step each.

An *attempt* is one worker's try at a request; only the newest writes. A *lease* says until when, by Redis's own clock,
its worker may be silent; requests whose lease ran out go back to the head of their queue.

    PREFIX:queue:MODEL:CLASS  list   ids that wait
    PREFIX:leases             zset   id -> end of its lease
    PREFIX:job:ID             hash   ticket, queue, at, attempt, worker, step, deaths, alone, stuck, and
                                     cancelled, handed, over where that is so
    PREFIX:states:ID          hash   sample -> saved state
    PREFIX:made:ID            hash   sample -> SampleDone, set once
    PREFIX:events:ID          stream events, capped
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from service.dispatch.queue import scripts
from service.engine.request import Priority

PREFIX = "maskserve"
WAKE, CANCEL, LEASES = f"{PREFIX}:wake", f"{PREFIX}:cancel", f"{PREFIX}:leases"
LEASE_SECONDS = 3.0
EVENTS_KEPT = 1000
UNFINISHED_SECONDS = 24 * 3600
LEAST_KEPT_SECONDS = 300  # readers need some time for the last event
AGING_SECONDS = 15.0  # of waiting raise a request by one class
LONELY_AFTER = 2  # deaths of workers, after which a request runs alone
HOPELESS_AFTER = 2  # deaths while alone without a step forward, after which it fails


@dataclass(frozen=True)
class Attempt:
    """One worker's try at a request."""

    id: str
    number: int
    deaths: int  # of workers that had it before
    stuck: int  # of these, while it was alone and made no step
    cancelled: bool
    ticket: bytes

    @property
    def lonely(self) -> bool:
        """Two workers died with it: it runs alone, so that no other request dies with a third."""
        return self.deaths >= LONELY_AFTER

    @property
    def hopeless(self) -> bool:
        return self.stuck >= HOPELESS_AFTER


class Records:
    """`keep_seconds`: how long results and events of a finished request stay, five minutes at least."""

    def __init__(self, redis: Redis, keep_seconds: int) -> None:
        self.redis: Any = redis  # whose annotations hold for its synchronous twin
        self.keep_seconds = max(LEAST_KEPT_SECONDS, keep_seconds)
        self._run = {name: redis.register_script(text) for name, text in scripts.ALL.items()}

    async def _script(self, name: str, id: str, *args: object) -> Any:
        return await self._run[name](keys=[PREFIX, id], args=[*args])  # type: ignore[list-item]

    # -- the API's side

    async def open(self, id: str, ticket: bytes, model: str, priority: Priority, most: int) -> bool:
        """Queue a request; False when `most` of its model wait already. Once more the same id changes nothing."""
        return bool(await self._script("open", id, ticket, model, int(priority), most, UNFINISHED_SECONDS))

    async def revive(self, id: str, ticket: bytes, model: str, priority: Priority) -> None:
        """Queue it again if Redis has lost it, or its place: a crash of Redis may lose its last second."""
        await self._script("revive", id, ticket, model, int(priority), UNFINISHED_SECONDS)

    async def cancel(self, id: str) -> None:
        """A waiting request is over at once; the worker of a running one hears of it."""
        await self._script("cancel", id, self.keep_seconds)

    async def waiting(self, models: Iterable[str]) -> int:
        """Requests that no worker has taken."""
        async with self.redis.pipeline(transaction=False) as pipe:
            for model in models:
                for priority in Priority:
                    pipe.llen(f"{PREFIX}:queue:{model}:{int(priority)}")
            return sum(await pipe.execute())

    async def running(self) -> int:
        return int(await self.redis.zcard(LEASES))

    async def events(self, id: str, after: str = "0", block_ms: int = 1000) -> list[tuple[str, bytes]]:
        """Events behind the stream position `after`, with theirs; waits for some, up to `block_ms`."""
        found: Any = await self.redis.xread({_key("events", id): after}, count=64, block=block_ms)
        return [(at.decode(), entry[b"event"]) for _, entries in found or [] for at, entry in entries]

    async def made(self, id: str) -> dict[int, bytes]:
        """Sample -> its SampleDone, also where the capped stream has lost it."""
        found = cast(dict[bytes, bytes], await self.redis.hgetall(_key("made", id)))
        return {int(sample): event for sample, event in found.items()}

    # -- the worker's side

    async def take(self, models: Iterable[str], worker: str) -> Attempt | None:
        """The most urgent waiting request of these models, as a new attempt with a lease; older ones are fenced off."""
        args = (worker, int(1000 * LEASE_SECONDS), int(1000 * AGING_SECONDS), *models)
        found = await self._script("take", "", *args)
        if found is None:
            return None
        id, number, deaths, stuck, cancelled, ticket = found
        return Attempt(id.decode(), number, deaths, stuck, bool(cancelled), ticket)

    async def beat(self, attempt: Attempt) -> bool | None:
        """Renew the lease. True: the request is to be cancelled; None: somebody else has it, or it is over."""
        found = await self._script("beat", attempt.id, attempt.number, int(1000 * LEASE_SECONDS))
        return None if found < 0 else bool(found)

    async def alone(self, attempt: Attempt) -> None:
        """From now on nothing else runs on its worker: a death counts against the request."""
        await self._script("alone", attempt.id, attempt.number)

    async def publish(self, attempt: Attempt, event: bytes, kind: str, sample: int = -1) -> bool:
        """False when the attempt is not the newest, or the request is over: stop working on it."""
        caps = (EVENTS_KEPT, self.keep_seconds, UNFINISHED_SECONDS)
        return bool(await self._script("publish", attempt.id, attempt.number, event, kind, sample, *caps))

    async def keep(self, attempt: Attempt, sample: int, step: int, state: bytes) -> bool:
        """Replace the saved state of a sample; False as for `publish`."""
        return bool(await self._script("keep", attempt.id, attempt.number, sample, state, step, UNFINISHED_SECONDS))

    async def states(self, id: str, samples: int) -> tuple[bytes, ...]:
        """One state per sample; none at all unless every sample has one."""
        found = cast(dict[bytes, bytes], await self.redis.hgetall(_key("states", id)))
        kept = [found.get(str(sample).encode()) for sample in range(samples)]
        return tuple(state for state in kept if state is not None) if None not in kept else ()

    async def hand_back(self, attempt: Attempt) -> None:
        """To the head of its queue; the next attempt does not count this one as a death."""
        await self._script("hand_back", attempt.id, attempt.number)

    async def sweep(self) -> int:
        """Requests whose lease ran out, back into their queues; how many."""
        return int(await self._script("sweep", ""))


async def heard(channel: PubSub) -> AsyncIterator[tuple[str, str]]:
    """Channel and text of every message, for ever."""
    async for message in channel.listen():
        if message["type"] == "message":
            yield message["channel"].decode(), message["data"].decode()


def _key(kind: str, id: str) -> str:
    return f"{PREFIX}:{kind}:{id}"
