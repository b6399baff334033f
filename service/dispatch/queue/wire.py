"""Tickets and events as bytes."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields

from models.decoder import Artifact, GenerationRequest
from models.decoding.plan import Plan
from models.spec import Sampling
from service.engine.events import (
    Done,
    Event,
    Failed,
    Preview,
    Progress,
    Report,
    SampleDone,
    Started,
    Waiting,
)
from service.engine.request import Priority, Ticket
from service.packed import pack, unpack

EVENTS: Mapping[str, type[Event]] = {
    kind.__name__: kind for kind in (Waiting, Started, Progress, Preview, SampleDone, Done, Failed)
}


def ticket_bytes(ticket: Ticket, to_wall: Callable[[float], float]) -> bytes:
    """`to_wall` turns the deadline's clock into seconds since 1970, which all processes share."""
    request = ticket.request
    values = {field.name: getattr(ticket, field.name) for field in fields(Ticket)}
    values["request"] = {
        **{field.name: getattr(request, field.name) for field in fields(GenerationRequest)},
        "sampling": asdict(request.sampling),
        "plan": None if request.plan is None else str(request.plan),
    }
    values["deadline"] = None if ticket.deadline is None else to_wall(ticket.deadline)
    return pack({**values, "priority": int(ticket.priority)})


def read_ticket(content: bytes, from_wall: Callable[[float], float]) -> Ticket:
    """What `ticket_bytes` made, its deadline on the reader's clock. Raises ValueError."""
    try:
        values = unpack(content)
        request = values["request"]
        condition = request["condition"]
        made = GenerationRequest(
            **request
            | {
                "condition": tuple(condition) if isinstance(condition, list) else condition,
                "sampling": _sampling(request["sampling"]),
                "plan": None if request["plan"] is None else Plan.parse(request["plan"]),
            }
        )
        deadline = values["deadline"]
        return Ticket(
            **values
            | {
                "request": made,
                "priority": Priority(values["priority"]),
                "deadline": None if deadline is None else from_wall(deadline),
                "states": tuple(values["states"]),
            }
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a ticket: {error}") from None


def _sampling(values: Mapping[str, object]) -> Sampling:
    """Lists were tuples before they travelled."""
    return Sampling(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})  # type: ignore[arg-type]


def event_bytes(event: Event, key: str = "") -> tuple[bytes, Artifact | None]:
    """An event without its artefact, which is too large to travel with it and lies under `key`, and that artefact."""
    values = {field.name: getattr(event, field.name) for field in fields(event) if field.name != "at"}
    artifact = values.pop("artifact", None)
    if isinstance(event, SampleDone):
        values["report"] = asdict(event.report)
    return pack({"event": type(event).__name__, "key": key, **values}), artifact


class UnknownEvent(ValueError):
    """Of a newer version: not meant for this one."""


def read_event(content: bytes, artifact: Artifact | None = None) -> tuple[Event, str]:
    """What `event_bytes` parted, and where the artefact lies. Raises ValueError."""
    try:
        values = unpack(content)
        name, key = values.pop("event"), values.pop("key")
        if name not in EVENTS:
            raise UnknownEvent(f"not an event: {name}")
        kind = EVENTS[name]
        if kind is SampleDone:
            values["report"] = Report(**values["report"])
        if kind in (SampleDone, Preview):
            values["artifact"] = artifact
        return kind(**values), key
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an event: {error}") from None


def artifact_bytes(artifact: Artifact) -> bytes:
    return pack({"array": artifact.array, "tokens": artifact.tokens, "extra": artifact.extra})


def read_artifact(content: bytes) -> Artifact:
    """Raises ValueError."""
    try:
        return Artifact(**unpack(content))
    except TypeError as error:
        raise ValueError(f"not an artefact: {error}") from None
