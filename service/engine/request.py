"""A ticket: one client request as the engine keeps it."""

from dataclasses import dataclass
from enum import IntEnum

from models.decoder import GenerationRequest


class Priority(IntEnum):
    """Smaller runs first."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


@dataclass(frozen=True)
class Ticket:
    """`deadline` is on the engine's clock (`Engine.now`, seconds); `allow_fewer_steps` lets overload or a deadline
    shorten the plan; `owner` is the API key's id, for fair shares; `states` (one per sample) resume what was
    saved elsewhere; `save` asks for a Saved event at every group boundary, `progress` for Waiting and Progress."""

    id: str
    model: str
    request: GenerationRequest
    priority: Priority = Priority.NORMAL
    deadline: float | None = None
    allow_fewer_steps: bool = False
    owner: str = ""
    states: tuple[bytes, ...] = ()
    save: bool = False
    progress: bool = False


class Refused(Exception):
    """The engine did not take a ticket; `code` is the API's error code."""

    code = "internal_error"


class QueueFull(Refused):
    code = "queue_full"

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"the waiting room is full; try again in {retry_after:.0f} s")
        self.retry_after = retry_after


class QueueAway(Refused):
    """The store that requests go through cannot be reached."""

    code = "queue_unavailable"


class OtherBody(Refused):
    """The id was used for another request before."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("the key was used for another request before")


class Draining(Refused):
    code = "draining"


class UnknownModel(Refused):
    code = "model_not_found"


class ModelUnavailable(Refused):
    code = "model_unavailable"


class EngineDead(Refused):
    code = "internal_error"


class DoesNotFit(Refused):
    """The request needs more memory than this engine will ever have, or does not fit the model."""

    code = "invalid_value"
