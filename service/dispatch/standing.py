"""How far a request is, from what was told of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from service.engine.events import Done, Event, Failed, Progress, SampleDone, Waiting

Status = Literal["queued", "in_progress", "completed", "failed"]


@dataclass(frozen=True)
class Standing:
    """progress: share of all samples' steps that are done, 0 to 1."""

    status: Status
    progress: float = 0.0
    failed: Failed | None = None


def standing(told: Iterable[Event], samples: int) -> Standing:
    """`told` in order; events that newer ones supersede may be missing."""
    shares: dict[int, float] = {}
    started = False
    for event in told:
        match event:
            case Done():
                return Standing("completed", 1.0)
            case Failed():
                return Standing("failed", sum(shares.values()) / samples, event)
            case Progress():
                shares[event.sample] = event.step / event.steps_total
            case SampleDone():
                shares[event.report.sample] = 1.0
        started = started or not isinstance(event, Waiting)
    return Standing("in_progress" if started else "queued", sum(shares.values()) / samples)
