"""Jobs as clients see them: OpenAI's video object, for every kind of request."""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from service.dispatch.base import Known
from service.dispatch.standing import Standing, Status, standing
from service.engine.events import Done, Event, SampleDone
from service.http.errors import ErrorObject, from_failed
from service.http.kinds import Kind
from service.packed import unpack


class JobObject(BaseModel):
    """A request that its client comes back for."""

    id: str
    object: Literal["job"] = "job"
    type: str = Field(description="image_generation or image_edit.")
    model: str
    status: Status
    progress: int = Field(ge=0, le=100, description="Per cent of the steps.")
    created_at: int
    completed_at: int | None
    expires_at: int | None = Field(description="When it is forgotten, once it has ended.")
    error: ErrorObject | None
    result: dict[str, Any] | None = Field(
        description="What the request would have been answered. Files are links; b64_json where that was asked for."
    )


class JobList(BaseModel):
    object: Literal["list"] = "list"
    data: list[JobObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedJob(BaseModel):
    id: str
    object: Literal["job.deleted"] = "job.deleted"
    deleted: Literal[True] = True


class JobEnded(BaseModel):
    """What a webhook is told, after https://www.standardwebhooks.com, and the last event of a job's stream."""

    type: Literal["job.completed", "job.failed"]
    timestamp: str = Field(description="ISO 8601, UTC.")
    data: JobObject


async def job_object(
    known: Known, told: list[Event], base: str = "", kind: Kind | None = None, inline: bool = False
) -> JobObject:
    """kind: None where the result is not wanted; base: where links begin, "" for where they began when it came in."""
    note = unpack(known.note)
    state = standing(told, known.ticket.request.n)
    result = None
    if state.status == "completed" and kind is not None:
        made = [event for event in told if isinstance(event, SampleDone)]
        done = next(event for event in told if isinstance(event, Done))
        result = await kind.result(known, made, done, base or note["base"], inline)
    return JobObject(
        id=known.ticket.id,
        type=note["name"],
        model=note["model"],
        status=state.status,
        progress=int(100 * state.progress),
        created_at=int(known.created),
        completed_at=_seconds(known.ended),
        expires_at=_seconds(known.expires),
        error=_error(state),
        result=result,
    )


def job_ended(known: Known, job: JobObject) -> JobEnded:
    ended = datetime.fromtimestamp(known.ended or known.created, UTC).isoformat(timespec="seconds")
    return JobEnded(type="job.completed" if job.status == "completed" else "job.failed", timestamp=ended, data=job)


def _error(state: Standing) -> ErrorObject | None:
    return None if state.failed is None else from_failed(state.failed).error


def _seconds(at: float | None) -> int | None:
    return None if at is None else int(at)
