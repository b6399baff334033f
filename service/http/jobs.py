"""Requests that outlive their connection: `Prefer: respond-async` makes one, /v1/jobs finds it again."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import JSONResponse, Response

from service.dispatch.base import Known
from service.dispatch.positions import POSITION
from service.dispatch.standing import standing
from service.engine.events import Event
from service.http.context import Context, context_of
from service.http.errors import DO_NOT_RETRY, ApiError, from_failed, invalid
from service.http.job_answers import DeletedJob, JobList, JobObject, job_ended, job_object
from service.http.manner import base_of
from service.http.openapi import BINARY_ANSWER, ERRORS, EVENTS_ANSWER
from service.http.services import Services, services_of
from service.http.sse import STARTED, EventStream, message

ANSWERS: dict[int | str, dict[str, Any]] = {status: ERRORS[status] for status in (400, 401, 404, 500, 503)}
NOT_READY: dict[int | str, dict[str, Any]] = {409: {**ERRORS[409], "description": "The job is not completed"}}
router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=ANSWERS)
POLL_MS = 1000
PRIVATE = {"cache-control": "no-store"}


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
    found = [known for id in page.ids if (known := await jobs.find(id)) is not None]
    data = [await job_object(known, await jobs.told(known.ticket.id)) for known in found]
    ends = (page.ids[0], page.ids[-1]) if page.ids else (None, None)
    return JobList(data=data, first_id=ends[0], last_id=ends[1], has_more=page.more)


@router.get("/{id}", response_model=JobObject)
async def retrieve_job(request: Request, id: str) -> Response:
    """How far a job is; when it is completed, with its result."""
    services, context = services_of(request), context_of(request)
    known, told = await known_of(services, context, id)
    base = base_of(request, services.settings.public_url)
    job = await job_object(known, told, base, services.kind_of(known), inline=True)
    return JSONResponse(job.model_dump(), headers=PRIVATE | {"openai-poll-after-ms": str(POLL_MS)})


@router.get("/{id}/content", response_class=Response, responses={200: BINARY_ANSWER, **NOT_READY})
async def job_content(
    request: Request,
    id: str,
    index: Annotated[int, Query(ge=0, le=99, description="Which of the `n` results.")] = 0,
) -> Response:
    """One finished file, as it is."""
    services, context = services_of(request), context_of(request)
    known, told = await known_of(services, context, id)
    refuse_unfinished(known, told)
    file = await services.kind_of(known).file(known, index)
    return Response(file.content, media_type=file.media_type, headers=file.headers)


@router.get("/{id}/events", response_class=Response, responses={200: EVENTS_ANSWER, 204: {"description": "All told"}})
async def job_events(
    request: Request,
    id: str,
    last_event_id: Annotated[str, Header(max_length=64, description="The last `id:` that came.")] = "",
) -> Response:
    """The job's events as a stream, from the first or behind `Last-Event-ID`, up to `job.completed` or `job.failed`.

    Also of requests with an Idempotency-Key whose connection broke. Leaving does not cancel. 204: there is nothing
    more, which also ends a browser's EventSource.
    """
    services, context = services_of(request), context_of(request)
    after = position_of(request)
    known, told = await known_of(services, context, id)
    if known.ended is not None and told and told[-1].at == after:
        return Response(status_code=204)
    chunks = _to_the_end(services, context, known, after, base_of(request, services.settings.public_url))
    return EventStream(chunks, {"x-maskserve-job": id})


async def _to_the_end(
    services: Services, context: Context, known: Known, after: str, base: str
) -> AsyncGenerator[bytes, None]:
    """Whatever became of the job, its stream is one."""
    yield STARTED
    id = known.ticket.id
    subscription = await services.dispatcher.jobs.follow(id, after)
    try:
        async with aclosing(await services.kind_of(known).stream(context, known, subscription)) as chunks:
            async for chunk in chunks:
                yield chunk
    except ApiError:
        now = await services.dispatcher.jobs.find(id)
        if now is None or now.ended is None:
            raise
    known, told = await known_of(services, context, id)
    ended = job_ended(known, await job_object(known, told, base, services.kind_of(known)))
    yield message(ended, ended.type, told[-1].at if told else "")


@router.delete("/{id}")
async def delete_job(request: Request, id: str) -> DeletedJob:
    """Cancel a job that runs or waits; forget one that has ended, with its result."""
    services, context = services_of(request), context_of(request)
    known, _ = await known_of(services, context, id)
    await drop(services, known)
    return DeletedJob(id=id)


async def drop(services: Services, known: Known) -> None:
    """Cancel what runs or waits, forget what has ended."""
    id = known.ticket.id
    if known.ended is None:
        await services.dispatcher.jobs.cancel(id)
    else:
        await services.kind_of(known).forget(known)
        await services.dispatcher.jobs.forget(id)


async def accepted(services: Services, context: Context, id: str) -> Response:
    """202, for a job that has just been submitted."""
    known, told = await known_of(services, context, id)
    job = await job_object(known, told, "", services.kind_of(known))
    headers = {
        "location": f"/v1/jobs/{id}",
        "preference-applied": "respond-async",
        "openai-poll-after-ms": str(POLL_MS),
        "x-maskserve-job": id,
    }
    return JSONResponse(job.model_dump(), 202, PRIVATE | headers)


def position_of(request: Request) -> str:
    """Of the event that a client had last. Raises ApiError for what cannot be one."""
    after = request.headers.get("last-event-id", "")
    if after and not POSITION.fullmatch(after):
        raise invalid("That is no id of an event.", "Last-Event-ID")
    return after


def refuse_unfinished(known: Known, told: list[Event]) -> None:
    """Raises ApiError 409 for a job without a result."""
    state = standing(told, known.ticket.request.n)
    if state.failed is not None:
        message = f"The job failed: {from_failed(state.failed).error.message}"
        raise ApiError(409, message, "job_failed", headers=DO_NOT_RETRY)
    if state.status != "completed":
        raise ApiError(409, f"The job is {state.status}.", "job_not_ready", headers=DO_NOT_RETRY)


async def known_of(services: Services, context: Context, id: str) -> tuple[Known, list[Event]]:
    """Raises ApiError 404 also for somebody else's."""
    jobs = services.dispatcher.jobs
    known = await jobs.find(id)
    if known is None or known.ticket.owner != context.owner:
        raise ApiError(404, "There is no such job (any more).", "job_not_found", "id")
    return known, await jobs.told(id)
