"""What the engine tells a request's subscriber. Arrays are numpy, owned by the receiver."""

from dataclasses import dataclass, field

from models.decoder import Artifact, Misfit


@dataclass(frozen=True)
class Report:
    """How a sample was made: what a client needs to make it again, and what it cost."""

    model: str
    checkpoint: str
    seed: int
    sample: int
    plan: str
    steps_full: int
    steps_reuse: int
    shortened: bool
    fingerprint: str
    queue_seconds: float
    run_seconds: float
    tokens: int = 0  # decoded in this request
    resumed_from_step: int = 0  # steps that another engine had done


@dataclass(frozen=True)
class Event:
    request: str  # ticket id
    at: str = field(default="", kw_only=True, compare=False)  # its place among the request's events, if kept


@dataclass(frozen=True)
class Waiting(Event):
    """The request's place in the waiting room has changed; 1 is next."""

    place: int


@dataclass(frozen=True)
class Started(Event):
    """The request has left the waiting room: its samples take part in batches from now on."""

    samples: int


@dataclass(frozen=True)
class Progress(Event):
    """A step of a sample was committed. Coalesced: a slow reader sees the newest per sample."""

    sample: int
    step: int
    steps_total: int
    revealed: float


@dataclass(frozen=True)
class Preview(Event):
    """A partial picture; coalesced like Progress."""

    sample: int
    index: int  # 0-based number of this partial
    step: int
    steps_total: int
    revealed: float
    artifact: Artifact


@dataclass(frozen=True)
class Saved(Event):
    """A sample's state at a group boundary, for tickets that ask for it. The newest one per sample is enough to go on
    elsewhere (`Ticket.states`), so it coalesces like Progress; it stays valid when the sample is done."""

    sample: int
    step: int
    state: bytes


@dataclass(frozen=True)
class SampleDone(Event):
    artifact: Artifact
    report: Report


@dataclass(frozen=True)
class Done(Event):
    """All samples are done; the last event of a request."""

    queue_seconds: float = 0.0
    run_seconds: float = 0.0


@dataclass(frozen=True)
class Failed(Event):
    """The last event of a request that did not finish. code: cancelled | deadline_exceeded | out_of_memory |
    internal_error | model_unavailable | draining | storage_full. extra may hold `param`: which field was wrong."""

    code: str = "internal_error"
    message: str = ""
    extra: dict[str, object] = field(default_factory=dict)

    @classmethod
    def refusing(cls, request: str, error: ValueError) -> "Failed":
        """The decoder did not admit it."""
        extra: dict[str, object] = {"param": error.param} if isinstance(error, Misfit) else {}
        return cls(request, "invalid_value", str(error), extra)


Terminal = Done | Failed
