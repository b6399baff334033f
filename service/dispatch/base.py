"""Where a request runs is a dispatcher's business; the HTTP layer knows only this. Free of torch."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

from models.catalogue import Catalogue
from service.engine.batch import StepRecord
from service.engine.events import Event
from service.engine.request import Ticket


@dataclass(frozen=True)
class Health:
    """alive: the engine's loop turns; ready: takes requests (not draining, waiting room below its mark)."""

    alive: bool
    ready: bool
    running: int  # sequences being decoded
    waiting: int  # requests not started
    detail: str = ""


class Subscription(Protocol):
    """The events of one request, ending with Done or Failed. Leaving it early cancels the request."""

    def __aiter__(self) -> AsyncIterator[Event]: ...

    def close(self) -> None: ...


class Dispatcher(Protocol):
    catalogue: Catalogue

    async def submit(self, ticket: Ticket) -> Subscription:
        """Raises service.engine.request.Refused (QueueFull, QueueAway, Draining, UnknownModel, DoesNotFit, ...)."""
        ...

    def cancel(self, ticket_id: str) -> None: ...

    def now(self) -> float:
        """The clock of `Ticket.deadline`."""
        ...

    def health(self) -> Health: ...

    def watch(self, listener: Callable[[StepRecord], None]) -> None:
        """`listener` hears of every batch that ran here, from the engine's thread."""
        ...

    async def drain(self, timeout: float) -> None:
        """Refuse new tickets, let the running ones finish for `timeout` seconds, then fail the rest with `draining`."""
        ...
