"""Members that the answers of all media have."""

from typing import Self

from pydantic import BaseModel

from service.engine.events import Done


class Steps(BaseModel):
    full: int
    reuse: int


class Timings(BaseModel):
    queue_ms: float
    run_ms: float
    total_ms: float

    @classmethod
    def of(cls, done: Done, seconds: float) -> Self:
        """`seconds` since the request came in."""
        return cls(queue_ms=done.queue_seconds * 1000, run_ms=done.run_seconds * 1000, total_ms=seconds * 1000)
