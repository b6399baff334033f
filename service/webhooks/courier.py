"""Delivers what is owed, for as long as it runs."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from service.webhooks.address import parsed
from service.webhooks.sender import Delivered, Gone, Outcome, Retry

CONCURRENT = 8
POLL_SECONDS = 1.0
DELAYS = (5.0, 30.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
JITTER = 0.2

log = structlog.get_logger()


@dataclass(frozen=True)
class Owed:
    """id: the message's, `JOB-END`, as a job that runs again ends again; tries: how often it was claimed before."""

    id: str
    url: str
    tries: int


class Ledger(Protocol):
    """What is to be delivered. Used by several processes at once; calls answer or raise within seconds."""

    async def owed(self, limit: int) -> list[Owed]:
        """At most `limit` (above zero) that are due, for the caller alone until its lease ends, half a minute or later.

        What is neither settled nor postponed by then is due again.
        """
        ...

    async def settled(self, id: str) -> None:
        """Nothing more is owed. Nothing happens for an unknown id."""
        ...

    async def postponed(self, id: str, seconds: float) -> None:
        """It is due that long from now, in place of the lease. Nothing happens where nothing is owed."""
        ...


class Sending(Protocol):
    async def send(self, url: str, id: str, body: bytes, now: float) -> Outcome: ...


class Courier:
    """At least once: receivers know by its id what comes again.

    describe: the body to send now, None where the job is forgotten; answers or raises within seconds. poll: seconds
    between looks at the ledger; delays: seconds before each next try. now: seconds since the epoch; random: in [0, 1).
    """

    def __init__(
        self,
        ledger: Ledger,
        sender: Sending,
        describe: Callable[[str], Awaitable[bytes | None]],
        *,
        poll: float = POLL_SECONDS,
        delays: Sequence[float] = DELAYS,
        now: Callable[[], float] = time.time,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._ledger, self._sender, self._describe = ledger, sender, describe
        self._poll, self._delays, self._now, self._random = poll, delays, now, random
        self._wake = asyncio.Event()
        self._over = asyncio.Event()
        self._sends: set[asyncio.Task[Outcome]] = set()
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._away = False  # whether the ledger failed the last time

    def nudge(self) -> None:
        """Something is owed that was not before."""
        self._wake.set()

    async def run(self) -> None:
        """Until it is cancelled, once. Then it breaks off what is being sent, and gives it back to the ledger."""
        try:
            while True:
                self._wake.clear()
                if len(self._under_way) < CONCURRENT:
                    await _to_its_end(self._claim())
                await _set_within(self._wake, self._poll)
        finally:
            self._over.set()
            for send in self._sends:
                send.cancel()
            await asyncio.gather(*self._under_way.values())

    async def _claim(self) -> None:
        try:
            claimed = await self._ledger.owed(CONCURRENT - len(self._under_way))
        except Exception as error:  # whatever a ledger's library raises: the next poll tries again
            self._heard(error)
            return
        self._heard(None)
        for owed in claimed:
            if owed.id not in self._under_way:  # else its lease has ended before its delivery
                send = asyncio.create_task(self._send(owed))
                self._sends.add(send)
                self._under_way[owed.id] = asyncio.create_task(self._follow(owed, send))

    async def _follow(self, owed: Owed, send: asyncio.Task[Outcome]) -> None:
        try:
            await asyncio.wait([send])
            await self._record(owed, None if send.cancelled() else send.result())
        finally:
            self._sends.discard(send)
            del self._under_way[owed.id]
            self.nudge()

    async def _send(self, owed: Owed) -> Outcome:
        try:
            body = await self._describe(owed.id)
            if body is None:
                return Gone("the job is forgotten")
            return await self._sender.send(owed.url, owed.id, body, self._now())
        except Exception as error:  # one job's trouble is not the others'
            log.exception("webhook failed", job=owed.id, where=_where(owed.url))
            return Retry(f"it could not be sent: {type(error).__name__}")

    async def _record(self, owed: Owed, outcome: Outcome | None) -> None:
        """None: broken off. Tells the ledger, again and again until it hears, or until the courier is done."""
        about = log.bind(job=owed.id, where=_where(owed.url), tries=owed.tries + 1)
        delay = None
        match outcome:
            case None:
                delay = 0.0
            case Delivered():
                about.info("webhook delivered")
            case Gone(why):
                about.info("webhook dropped", why=why)
            case Retry(why) if owed.tries < len(self._delays):
                delay = self._delays[owed.tries] * (1 + JITTER * (2 * self._random() - 1))
                about.info("webhook postponed", why=why, seconds=round(delay, 1))
            case Retry(why):
                about.warning("webhook given up", why=why)
        while True:
            try:
                if delay is None:
                    await self._ledger.settled(owed.id)
                else:
                    await self._ledger.postponed(owed.id, delay)
            except Exception as error:  # as in _claim
                self._heard(error)
            else:
                return self._heard(None)
            if self._over.is_set():
                return  # the lease ends by itself
            await _set_within(self._over, self._poll)

    def _heard(self, error: Exception | None) -> None:
        """Says once when the ledger goes away, and once when it is back."""
        if error is not None and not self._away:
            log.warning("webhooks wait for their ledger", why=str(error) or type(error).__name__)
        elif error is None and self._away:
            log.info("webhooks have their ledger again")
        self._away = error is not None


def _where(url: str) -> str:
    """The host: paths and queries may hold secrets."""
    try:
        return parsed(url).place
    except ValueError:
        return ""


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def _to_its_end(work: Coroutine[object, object, None]) -> None:
    """Is cancelled only once the work is done."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
