"""Requests that outlive their connection: `Prefer: respond-async` makes one, /v1/jobs finds it again."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import JSONResponse, Response

from service.dispatch.base import Known, Subscription
from service.dispatch.standing import standing
from service.engine.events import Event
from service.engine.request import Refused
from service.http.context import Context, context_of
from service.http.errors import DO_NOT_RETRY, ApiError, from_failed, from_refused, invalid
from service.http.job_answers import DeletedJob, JobList, JobObject, job_object
from service.http.openapi import ERRORS
from service.http.services import Services, services_of
from service.http.sse import EventStream

ANSWERS: dict[int | str, dict[str, Any]] = {status: ERRORS[status] for status in (400, 401, 404, 503)}
router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=ANSWERS)
POLL_MS = 1000


@router.get("")
async def list_jobs(
    request: Request,
    after: Annotated[str, Query(max_length=64, description="The last id of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> JobList:
    """Jobs of this API key that were asked for with `Prefer: respond-async`, without their results."""
    services, context = services_of(request), context_of(request)
    jobs = services.dispatcher.jobs
    try:
        page = await jobs.page(context.owner, after, limit, order == "desc")
    except KeyError:
        raise invalid("There is no such job (any more) to go on from.", "after") from None
    except Refused as refused:
        raise from_refused(refused) from None
    found = [(id, known) for id in page.ids if (known := await jobs.find(id)) is not None]
    data = [await job_object(id, known, await jobs.told(id), None, False) for id, known in found]
    ends = (data[0].id, data[-1].id) if data else (None, None)
    return JobList(data=data, first_id=ends[0], last_id=ends[1], has_more=page.more)


@router.get("/{id}")
async def retrieve_job(request: Request, id: str) -> JobObject:
    """How far a job is; when it is completed, with its result."""
    services, context = services_of(request), context_of(request)
    known, told = await _known(services, context, id)
    return await job_object(id, known, told, services.kind_of(known), inline=True)


@router.get("/{id}/content", response_class=Response)
async def job_content(
    request: Request,
    id: str,
    index: Annotated[int, Query(ge=0, le=99, description="Which of the `n` results.")] = 0,
) -> Response:
    """One finished file, as it is."""
    services, context = services_of(request), context_of(request)
    known, told = await _known(services, context, id)
    state = standing(told, known.ticket.request.n)
    if state.failed is not None:
        raise from_failed(state.failed)
    if state.status != "completed":
        raise ApiError(409, f"The job is {state.status}.", "job_not_ready", headers=DO_NOT_RETRY)
    file = await services.kind_of(known).file(known, index)
    headers = {"content-disposition": f'inline; filename="{file.name}"', "cache-control": "private, no-cache"}
    return Response(file.content, media_type=file.media_type, headers=headers)


@router.get("/{id}/events", response_class=Response)
async def job_events(
    request: Request,
    id: str,
    last_event_id: Annotated[str, Header(max_length=64, description="The last `id:` that came.")] = "",
) -> Response:
    """The job's events as a stream, from the first or behind `Last-Event-ID`; also of requests with an Idempotency-Key
    whose connection broke. Leaving does not cancel.
    """
    services, context = services_of(request), context_of(request)
    known, _ = await _known(services, context, id)
    subscription = await followed(services, id, last_event_id)
    chunks = await services.kind_of(known).stream(context, known, subscription)
    return EventStream(chunks, {"x-maskserve-job": id})


@router.delete("/{id}")
async def delete_job(request: Request, id: str) -> DeletedJob:
    """Cancel a job that runs or waits; forget one that has ended, with its result."""
    services, context = services_of(request), context_of(request)
    known, _ = await _known(services, context, id)
    try:
        if known.ended is None:
            await services.dispatcher.jobs.cancel(id)
        else:
            await services.dispatcher.jobs.forget(id)
            await services.kind_of(known).forget(known)
    except Refused as refused:
        raise from_refused(refused) from None
    return DeletedJob(id=id)


async def accepted(services: Services, context: Context, id: str) -> Response:
    """202, for a job that has just been submitted."""
    known, told = await _known(services, context, id)
    job = await job_object(id, known, told, services.kind_of(known), inline=False)
    headers = {
        "location": f"/v1/jobs/{id}",
        "preference-applied": "respond-async",
        "openai-poll-after-ms": str(POLL_MS),
        "x-maskserve-job": id,
    }
    return JSONResponse(job.model_dump(), 202, headers)


async def followed(services: Services, id: str, after: str) -> Subscription:
    """The events of a kept request behind one of them. Raises ApiError."""
    try:
        return await services.dispatcher.jobs.follow(id, after)
    except ValueError:
        raise invalid("That is no id of an event of this job.", "Last-Event-ID") from None


async def _known(services: Services, context: Context, id: str) -> tuple[Known, list[Event]]:
    """Raises ApiError 404 also for somebody else's."""
    jobs = services.dispatcher.jobs
    try:
        known = await jobs.find(id)
        told = await jobs.told(id) if known is not None else []
    except Refused as refused:
        raise from_refused(refused) from None
    if known is None or known.ticket.owner != context.owner:
        raise ApiError(404, "There is no such job (any more).", "job_not_found", "id")
    return known, told
