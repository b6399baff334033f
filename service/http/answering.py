"""Answering a request for media: whole, as a stream, or later."""

from typing import Any

from fastapi import Request
from starlette.responses import JSONResponse, Response

from service.dispatch.base import Subscription
from service.engine.request import Refused
from service.http.jobs import accepted, position_of
from service.http.makers import Maker
from service.http.making import Job, early_headers, headers
from service.http.notes import SOURCE_SECONDS, source_key
from service.http.runs import Run
from service.http.services import Services
from service.http.sse import EventStream, unless_gone


async def answer(request: Request, maker: Maker, job: Job, stream: bool) -> Response:
    """Raises ApiError."""
    services, context = maker.services, maker.context
    if maker.manner.later:
        (await submit(services, job)).close()
        return await accepted(services, context, job.ticket.id)

    after = position_of(request) if stream and job.terms.kept else ""

    async def listen() -> Subscription:
        subscription = await submit(services, job)
        if not after:
            return subscription
        subscription.close()
        return await services.dispatcher.jobs.follow(job.ticket.id, after)

    run = Run(services, context, job, listen)
    if stream:
        return EventStream(run.stream(), early_headers(job))
    made, done = await unless_gone(request.receive, run.whole())
    if job.delivery == "file":
        return Response(made[0].file, media_type=job.medium.types[job.output.format], headers=headers(job, made))
    response = job.medium.whole(job, made, done, context.seconds)
    content: dict[str, Any] = response.model_dump(exclude_none=True)
    return JSONResponse(content, headers=headers(job, made))


async def submit(services: Services, job: Job) -> Subscription:
    """Raises Refused, StoreFull, StoreAway."""
    if job.terms.kept and job.source is not None:
        await services.dispatcher.store.put(source_key(job), job.source, SOURCE_SECONDS)
    try:
        return await services.dispatcher.submit(job.ticket, job.terms)
    except Refused as refused:
        services.metrics.rejected.labels(refused.code).inc()
        raise
