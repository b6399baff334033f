"""All that Redis holds of requests. Who may do what with them is decided by scripts that run in one step each.

An *attempt* is one worker's try at a request; only the newest writes. A *run* is all attempts up to an end; a request
that failed may have another. A *lease* says until when, by Redis's own clock,
its worker may be silent; requests whose lease ran out go back to the head of their queue.

    PREFIX:queue:MODEL:CLASS  list   ids that wait
    PREFIX:leases             zset   id -> end of its lease
    PREFIX:job:ID             hash   ticket, kept, note, webhook, body as they came; run, queue, at, attempt, worker,
                                     attempts, step, deaths, alone, stuck; cancelled, handed, over, ended, tries
                                     where that is so
    PREFIX:states:ID          hash   sample -> saved state
    PREFIX:made:ID:RUN        hash   sample -> SampleDone, set once; sample@ -> its place in the stream
    PREFIX:events:ID:RUN      stream events, capped
    PREFIX:body:ID            string digest of what was asked, where the client chose the id
    PREFIX:jobs:of:OWNER      zset   id -> when it came, of listed requests
    PREFIX:hooks              zset   id -> when its end is to be told
    PREFIX:secret             string of links
    PREFIX:ended              count  of requests that have ended
"""

import secrets
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from service.dispatch.queue import scripts
from service.engine.request import Priority

PREFIX = "maskserve"
WAKE, CANCEL, LEASES = f"{PREFIX}:wake", f"{PREFIX}:cancel", f"{PREFIX}:leases"
SECRET, ENDED = f"{PREFIX}:secret", f"{PREFIX}:ended"
LEASE_SECONDS = 3.0
EVENTS_KEPT = 1000
UNFINISHED_SECONDS = 3 * 24 * 3600
FORGOTTEN_SECONDS = 300  # for which readers of what was forgotten hear so
LEAST_KEPT_SECONDS = 300  # readers need some time for the last event
AGING_SECONDS = 15.0  # of waiting raise a request by one class
REMEMBERED_SECONDS = 24 * 3600  # for which an id that a client chose stands for one request
DELIVERY_SECONDS = 60.0
LONELY_AFTER = 2  # deaths of workers, after which a request runs alone
HOPELESS_AFTER = 3  # deaths while alone without a step forward, after which it fails


class Opened(Enum):
    QUEUED = b"queued"
    KNOWN = b"known"  # it waits, runs or is done
    FULL = b"full"
    OTHER = b"other"  # the id stands for another request


@dataclass(frozen=True)
class Entry:
    """A request as it came in. owner: whose list it is in, None for no list; body: see Terms."""

    id: str
    model: str
    priority: Priority
    ticket: bytes
    owner: str | None = None
    body: str = ""
    kept: bool = False
    note: bytes = b""
    webhook: str = ""

    @property
    def fields(self) -> list[object]:
        """Of its hash, for HSET."""
        given = {"ticket": self.ticket, "note": self.note, "webhook": self.webhook, "kept": int(self.kept) or ""}
        return [part for name, value in given.items() if value for part in (name, value)]


@dataclass(frozen=True)
class Kept:
    """What is stored of a kept request. Times in seconds since 1970; left: seconds until it is forgotten."""

    ticket: bytes
    note: bytes
    created: float
    ended: float | None
    left: float
    run: str


@dataclass(frozen=True)
class Attempt:
    """One worker's try at a request."""

    id: str
    token: str  # of this attempt alone
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

    async def open(self, entry: Entry, most: int) -> tuple[Opened, str]:
        """Queue a request, unless `most` of its model wait already; its run.

        Once more the same id changes nothing, except that a request that failed is queued again.
        """
        args = (entry.model, int(entry.priority), most, UNFINISHED_SECONDS, entry.body, _listing(entry.owner))
        opened, run = await self._script("open", entry.id, *args, REMEMBERED_SECONDS, *entry.fields)
        return Opened(opened), run.decode()

    async def revive(self, entry: Entry, run: str = "1") -> None:
        """Queue it again if Redis has lost it, or its place: a crash of Redis may lose its last second."""
        args = (entry.model, int(entry.priority), UNFINISHED_SECONDS)
        await self._script("revive", entry.id, *args, "run", run, *entry.fields)

    async def cancel(self, id: str, event: bytes) -> None:
        """A waiting request is over at once, with `event` as its last; the worker of a running one hears of it."""
        await self._script("cancel", id, self.keep_seconds, event)

    async def waiting(self, models: Iterable[str]) -> int:
        """Requests that no worker has taken."""
        async with self.redis.pipeline(transaction=False) as pipe:
            for model in models:
                for priority in Priority:
                    pipe.llen(f"{PREFIX}:queue:{model}:{int(priority)}")
            return sum(await pipe.execute())

    async def running(self) -> int:
        return int(await self.redis.zcard(LEASES))

    async def ended(self) -> int:
        """Requests that have ended so far, whatever their end."""
        return int(await self.redis.get(ENDED) or 0)

    async def events(self, id: str, run: str = "1", after: str = "0", block_ms: int = 1000) -> list[tuple[str, bytes]]:
        """Events behind the stream position `after`, with theirs; waits for some, up to `block_ms`."""
        found: Any = await self.redis.xread({_key("events", id, run): after}, count=64, block=block_ms)
        return [(at.decode(), entry[b"event"]) for _, entries in found or [] for at, entry in entries]

    async def made(self, id: str, run: str = "1") -> dict[int, tuple[str, bytes]]:
        """Sample -> its SampleDone and that one's stream position, also where the capped stream has lost it."""
        found = cast(dict[bytes, bytes], await self.redis.hgetall(_key("made", id, run)))
        samples = [sample for sample in found if not sample.endswith(b"@")]
        return {int(sample): (found.get(sample + b"@", b"0-0").decode(), found[sample]) for sample in samples}

    async def so_far(self, id: str, run: str = "1", most: int = 1000) -> list[tuple[str, bytes]]:
        """The newest events with their stream positions, oldest first."""
        found: Any = await self.redis.xrevrange(_key("events", id, run), count=most)
        return [(at.decode(), entry[b"event"]) for at, entry in reversed(found)]

    async def place(self, id: str) -> int | None:
        """About how many start before it does, itself included; None where it does not wait."""
        return cast("int | None", await self._script("place", id))

    async def kept(self, id: str) -> Kept | None:
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.hmget(_key("job", id), "ticket", "note", "at", "ended", "kept", "run")
            pipe.pttl(_key("job", id))
            (ticket, note, at, ended, kept, run), left = await pipe.execute()
        if not kept:
            return None
        end = None if ended is None else int(ended) / 1000
        return Kept(ticket, note or b"", int(at) / 1000, end, left / 1000, run.decode())

    async def over(self, id: str, run: str) -> bool | None:
        """Whether this run has ended; None where the request is unknown."""
        over, now = await self.redis.hmget(_key("job", id), "over", "run")
        return None if now is None else over is not None or now.decode() != run

    async def forget(self, id: str, owner: str) -> None:
        """A request that is over."""
        await self._script("forget", id, _listing(owner), FORGOTTEN_SECONDS)

    async def page(self, owner: str, after: str, limit: int, newest_first: bool) -> list[str]:
        """Ids, and one more where there are more. Raises KeyError where `after` is not in the list."""
        found = await self._script("page", "", _listing(owner), after, limit, int(newest_first))
        if found is None:
            raise KeyError(after)
        return [id.decode() for id in found]

    async def owed(self, limit: int) -> list[tuple[str, str, int]]:
        """id-ended, address and earlier tries of ends that are to be told, for this process and for a minute."""
        found = await self._script("owed", "", int(1000 * DELIVERY_SECONDS), limit)
        return [(id.decode(), url.decode(), tries) for id, url, tries in found]

    async def settled(self, id: str, ended: str) -> None:
        await self._script("settled", id, ended)

    async def postponed(self, id: str, ended: str, seconds: float) -> None:
        await self._script("postponed", id, ended, seconds)

    async def secret(self) -> bytes:
        await self.redis.set(SECRET, secrets.token_hex(32), nx=True)
        return cast(bytes, await self.redis.get(SECRET))

    # -- the worker's side

    async def take(self, models: Iterable[str], worker: str) -> Attempt | None:
        """The most urgent waiting request of these models, as a new attempt with a lease; older ones are fenced off."""
        token = secrets.token_hex(6)
        args = (worker, int(1000 * LEASE_SECONDS), int(1000 * AGING_SECONDS), token, *models)
        found = await self._script("take", "", *args)
        if found is None:
            return None
        id, deaths, stuck, cancelled, ticket = found
        return Attempt(id.decode(), token, deaths, stuck, bool(cancelled), ticket)

    async def beat(self, attempt: Attempt) -> bool | None:
        """Renew the lease. True: the request is to be cancelled; None: somebody else has it, or it is over."""
        found = await self._script("beat", attempt.id, attempt.token, int(1000 * LEASE_SECONDS), UNFINISHED_SECONDS)
        return None if found < 0 else bool(found)

    async def alone(self, attempt: Attempt) -> None:
        """From now on nothing else runs on its worker: a death counts against the request."""
        await self._script("alone", attempt.id, attempt.token)

    async def publish(self, attempt: Attempt, event: bytes, kind: str, sample: int = -1) -> bool:
        """False when the attempt is not the newest, or the request is over: stop working on it."""
        caps = (EVENTS_KEPT, self.keep_seconds, UNFINISHED_SECONDS)
        return bool(await self._script("publish", attempt.id, attempt.token, event, kind, sample, *caps))

    async def keep(self, attempt: Attempt, sample: int, step: int, state: bytes) -> bool:
        """Replace the saved state of a sample; False as for `publish`."""
        return bool(await self._script("keep", attempt.id, attempt.token, sample, state, step, UNFINISHED_SECONDS))

    async def states(self, id: str, samples: int) -> tuple[bytes, ...]:
        """One state per sample; none at all unless every sample has one."""
        found = cast(dict[bytes, bytes], await self.redis.hgetall(_key("states", id)))
        kept = [found.get(str(sample).encode()) for sample in range(samples)]
        return tuple(state for state in kept if state is not None) if None not in kept else ()

    async def hand_back(self, attempt: Attempt) -> None:
        """To the head of its queue; the next attempt does not count this one as a death."""
        await self._script("hand_back", attempt.id, attempt.token)

    async def sweep(self) -> int:
        """Requests whose lease ran out, back into their queues; how many."""
        return int(await self._script("sweep", ""))


async def heard(channel: PubSub) -> AsyncIterator[tuple[str, str]]:
    """Channel and text of every message, for ever."""
    async for message in channel.listen():
        if message["type"] == "message":
            yield message["channel"].decode(), message["data"].decode()


def _listing(owner: str | None) -> str:
    """The end of a list's name; an empty owner has a list too."""
    return "" if owner is None else f"of:{owner}"


def _key(kind: str, id: str, *run: str) -> str:
    return ":".join((PREFIX, kind, id, *run))
