"""What Redis holds of a request beside the queue: its ticket, attempts, saved states, results and events.

Everything that decides who may publish is a script that runs in Redis as one step. An attempt is one worker's try; only
the newest may write, so a worker that slept past its lease changes nothing when it wakes.

    PREFIX:job:ID      hash   ticket, attempt, worker, deaths, alone, stuck, step, cancelled, over
    PREFIX:states:ID   hash   sample -> saved state
    PREFIX:made:ID     hash   sample -> SampleDone, set once
    PREFIX:events:ID   stream events, capped
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

PREFIX = "maskserve"
WAKE, CANCEL = f"{PREFIX}:wake", f"{PREFIX}:cancel"  # channels
EVENTS_KEPT = 1000
UNFINISHED_SECONDS = 24 * 3600
LONELY_AFTER = 2  # deaths of workers, after which a request runs alone
HOPELESS_AFTER = 2  # deaths while alone without a step forward, after which it fails

BEGIN = """
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('HEXISTS', KEYS[1], 'over') == 1 then return nil end
local attempt = redis.call('HINCRBY', KEYS[1], 'attempt', 1)
if attempt > 1 and redis.call('HDEL', KEYS[1], 'handed') == 0 then
    redis.call('HINCRBY', KEYS[1], 'deaths', 1)
    if redis.call('HGET', KEYS[1], 'alone') == (redis.call('HGET', KEYS[1], 'step') or '0') then
        redis.call('HINCRBY', KEYS[1], 'stuck', 1)
    end
end
redis.call('HDEL', KEYS[1], 'alone')
redis.call('HSET', KEYS[1], 'worker', ARGV[1])
local stuck = tonumber(redis.call('HGET', KEYS[1], 'stuck') or '0')
local cancelled = redis.call('HEXISTS', KEYS[1], 'cancelled')
local deaths = tonumber(redis.call('HGET', KEYS[1], 'deaths') or '0')
return {attempt, deaths, stuck, cancelled, redis.call('HGET', KEYS[1], 'ticket')}
"""

PUBLISH = """
if redis.call('HGET', KEYS[1], 'attempt') ~= ARGV[1] or redis.call('HEXISTS', KEYS[1], 'over') == 1 then return 0 end
if ARGV[3] == 'SampleDone' and redis.call('HSETNX', KEYS[3], ARGV[4], ARGV[2]) == 0 then return 1 end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], '*', 'event', ARGV[2])
if ARGV[3] == 'Done' or ARGV[3] == 'Failed' then
    redis.call('HSET', KEYS[1], 'over', ARGV[3])
    redis.call('DEL', KEYS[4])
    for i = 1, 3 do redis.call('EXPIRE', KEYS[i], ARGV[6]) end
else
    redis.call('EXPIRE', KEYS[2], ARGV[7])
    redis.call('EXPIRE', KEYS[3], ARGV[7])
end
return 1
"""

ALONE = """
if redis.call('HGET', KEYS[1], 'attempt') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'alone', redis.call('HGET', KEYS[1], 'step') or '0')
return 1
"""

KEEP = """
if redis.call('HGET', KEYS[1], 'attempt') ~= ARGV[1] or redis.call('HEXISTS', KEYS[1], 'over') == 1 then return 0 end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[5])
if tonumber(ARGV[4]) > tonumber(redis.call('HGET', KEYS[1], 'step') or '0') then
    redis.call('HSET', KEYS[1], 'step', ARGV[4])
end
return 1
"""


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
    """`keep_seconds`: how long results and events of a finished request stay."""

    def __init__(self, redis: Redis, keep_seconds: int) -> None:
        self.redis: Any = redis  # whose annotations hold for its synchronous twin
        self.keep_seconds = keep_seconds
        self._begin = redis.register_script(BEGIN)
        self._publish = redis.register_script(PUBLISH)
        self._alone = redis.register_script(ALONE)
        self._keep = redis.register_script(KEEP)

    # -- the API's side

    async def open(self, id: str, ticket: bytes) -> bool:
        """Note a new request; False when there is one of that id."""
        fresh = await self.redis.hsetnx(_key("job", id), "ticket", ticket)
        if fresh:
            await self.redis.expire(_key("job", id), UNFINISHED_SECONDS)
        return bool(fresh)

    async def forget(self, id: str) -> None:
        """As if it had never been: it could not be queued."""
        await self.redis.delete(*(_key(kind, id) for kind in ("job", "states", "made", "events")))

    async def cancel(self, id: str) -> None:
        """Running workers hear of it at once, a later one when it begins."""
        if await self.redis.exists(_key("job", id)):
            await self.redis.hset(_key("job", id), "cancelled", 1)
            await self.redis.publish(CANCEL, id)

    async def events(self, id: str, after: str = "0", block_ms: int = 1000) -> list[tuple[str, bytes]]:
        """Events behind the stream position `after`, with theirs; waits for some, up to `block_ms`."""
        found: Any = await self.redis.xread({_key("events", id): after}, count=64, block=block_ms)
        return [(at.decode(), entry[b"event"]) for _, entries in found or [] for at, entry in entries]

    async def made(self, id: str) -> dict[int, bytes]:
        """Sample -> its SampleDone, also where the capped stream has lost it."""
        found = cast(dict[bytes, bytes], await self.redis.hgetall(_key("made", id)))
        return {int(sample): event for sample, event in found.items()}

    # -- the worker's side

    async def begin(self, id: str, worker: str) -> Attempt | None:
        """A new attempt, by `worker`, which fences off the older ones; None when the request is over or unknown."""
        found = await self._begin(keys=[_key("job", id)], args=[worker])
        return None if found is None else Attempt(id, found[0], found[1], found[2], bool(found[3]), found[4])

    async def publish(self, attempt: Attempt, event: bytes, kind: str, sample: int = -1) -> bool:
        """False when the attempt is not the newest, or the request is over: stop working on it."""
        keys = [_key(part, attempt.id) for part in ("job", "events", "made", "states")]
        caps = (EVENTS_KEPT, self.keep_seconds, UNFINISHED_SECONDS)
        return bool(await self._publish(keys=keys, args=(attempt.number, event, kind, sample, *caps)))

    async def keep(self, attempt: Attempt, sample: int, step: int, state: bytes) -> bool:
        """Replace the saved state of a sample; False as for `publish`."""
        keys = [_key("job", attempt.id), _key("states", attempt.id)]
        args = (attempt.number, sample, state, step, UNFINISHED_SECONDS)
        return bool(await self._keep(keys=keys, args=args))

    async def states(self, id: str, samples: int) -> tuple[bytes, ...]:
        """One state per sample; none at all unless every sample has one."""
        found = cast(dict[bytes, bytes], await self.redis.hgetall(_key("states", id)))
        kept = [found.get(str(sample).encode()) for sample in range(samples)]
        return tuple(state for state in kept if state is not None) if None not in kept else ()

    async def alone(self, attempt: Attempt) -> None:
        """From now on nothing else runs on its worker: a death counts against the request."""
        await self._alone(keys=[_key("job", attempt.id)], args=[attempt.number])

    async def hand_back(self, attempt: Attempt) -> None:
        """The next attempt does not count this one as a death."""
        await self.redis.hset(_key("job", attempt.id), "handed", 1)


async def heard(channel: PubSub) -> AsyncIterator[tuple[str, str]]:
    """Channel and text of every message, for ever."""
    async for message in channel.listen():
        if message["type"] == "message":
            yield message["channel"].decode(), message["data"].decode()


def _key(kind: str, id: str) -> str:
    return f"{PREFIX}:{kind}:{id}"
