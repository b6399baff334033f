"""Where a request runs is a dispatcher's business; the HTTP layer knows only this. Free of torch."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

from models.catalogue import Catalogue
from service.artefacts.base import Store
from service.engine.batch import StepRecord
from service.engine.events import Event, SampleDone
from service.engine.request import Ticket
from service.webhooks.courier import Ledger


@dataclass(frozen=True)
class Health:
    """alive: the engine's loop turns; ready: takes requests (not draining, waiting room below its mark)."""

    alive: bool
    ready: bool
    running: int  # sequences being decoded
    waiting: int  # requests not started
    detail: str = ""


class Subscription(Protocol):
    """The events of one request, ending with Done or Failed."""

    def __aiter__(self) -> AsyncIterator[Event]: ...

    def close(self) -> None:
        """Stop listening, which cancels a request that is not kept."""
        ...


@dataclass(frozen=True)
class Terms:
    """How a request outlives the connection that brought it.

    kept: it goes on when nobody listens, and stays findable; listed: in its owner's list of jobs; body: digest of what
    was asked, the same id with another one is refused; note: the HTTP layer's own words, given back by `Jobs.find`;
    webhook: who is told of its end.
    """

    kept: bool = False
    listed: bool = False
    body: str = ""
    note: bytes = b""
    webhook: str = ""


PLAIN = Terms()


@dataclass(frozen=True)
class Known:
    """A kept request. Times in seconds since 1970."""

    ticket: Ticket
    note: bytes
    created: float
    ended: float | None
    expires: float | None  # when it is forgotten, once it has ended


@dataclass(frozen=True)
class Page:
    ids: list[str]
    more: bool


class Jobs(Protocol):
    """Kept requests, while they run and for a while after. Every method may raise QueueAway."""

    async def find(self, id: str) -> Known | None: ...

    async def told(self, id: str) -> list[Event]:
        """The newest events so far, one per sample that runs, and every SampleDone; pictures may be missing."""
        ...

    async def sample(self, id: str, sample: int) -> SampleDone | None:
        """A finished one with its picture, while it is kept."""
        ...

    async def follow(self, id: str, after: str = "") -> Subscription:
        """All events behind the one whose `at` is `after`, to the end; closing cancels nothing."""
        ...

    async def page(self, owner: str, after: str, limit: int, newest_first: bool) -> Page:
        """Ids of an owner's listed requests behind `after`. Raises KeyError where `after` is not among them."""
        ...

    async def cancel(self, id: str) -> None:
        """It ends with Failed `cancelled`; nothing happens where it has ended."""
        ...

    async def forget(self, id: str) -> None:
        """Drop what is known of a request that has ended, with its results."""
        ...

    async def secret(self) -> bytes:
        """The same in all processes that serve these jobs; for links."""
        ...


class Dispatcher(Protocol):
    """`store`: where finished media lie; `jobs`: kept requests; `ledger`: whom to tell of their ends."""

    catalogue: Catalogue
    store: Store

    @property
    def jobs(self) -> Jobs: ...

    @property
    def ledger(self) -> Ledger: ...

    async def submit(self, ticket: Ticket, terms: Terms = PLAIN) -> Subscription:
        """With the id of a kept request: its events from the first one on; where it has failed, it runs again.

        Raises service.engine.request.Refused (QueueFull, QueueAway, Draining, UnknownModel, OtherBody, ...).
        """
        ...

    def now(self) -> float:
        """The clock of `Ticket.deadline`."""
        ...

    def health(self) -> Health: ...

    def watch(self, listener: Callable[[StepRecord], None]) -> None:
        """`listener` hears of every batch that ran here, from the engine's thread."""
        ...

    def hear(self, listener: Callable[[Ticket, Event], None]) -> None:
        """`listener` hears what is told of the requests that run here."""
        ...

    async def drain(self, timeout: float) -> None:
        """Refuse new tickets, let the running ones finish for `timeout` seconds, then fail the rest with `draining`."""
        ...
