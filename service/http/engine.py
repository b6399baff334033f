"""GET /v1/engine: what the engine is doing, once or as a stream of server-sent events."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from service.engine.batch import StepRecord
from service.http.openapi import ERRORS
from service.http.services import Services, services_of
from service.http.sse import EventStream, message

router = APIRouter(prefix="/v1/engine", tags=["operation"], responses={401: ERRORS[401]})
SHOWN = 64  # batches of the first report: what came before somebody looked


class BatchReport(BaseModel):
    """One turn of the engine. Whose requests shared it is nobody's business."""

    number: int
    model: str
    kind: str = Field(description="encode, step, chain, preview or finish")
    samples: int
    full: int = Field(description="Samples that took a full step; the other steps reused cached features.")
    rows: int
    times: int = Field(description="Forward passes; more than one of diffusion chains.")
    ms: float
    ended: float = Field(description="Seconds on the engine's clock.")


class EngineReport(BaseModel):
    type: Literal["engine.report"] = "engine.report"
    now: float = Field(description="Seconds on the engine's clock.")
    ready: bool
    running: int = Field(description="Samples being decoded.")
    waiting: int = Field(description="Requests that have not started.")
    max_waiting: int
    batches: list[BatchReport] = Field(description="Those since the last report.")


@router.get("", response_model=EngineReport)
async def watch_engine(
    request: Request,
    stream: bool = False,
    interval: float = Query(0.5, ge=0.1, le=10.0, description="Seconds between reports of a stream."),
) -> Response:
    """Samples running, requests waiting, and the batches that ran: how many shared each, full or reuse, how long."""
    services = services_of(request)
    if stream:
        return EventStream(_reports(services, interval), {})
    return JSONResponse(_report(services, services.activity.count - SHOWN).model_dump())


async def _reports(services: Services, interval: float) -> AsyncGenerator[bytes, None]:
    """Until the client leaves or the server shuts down."""
    seen = services.activity.count - SHOWN
    while True:
        report = _report(services, seen)
        seen = report.batches[-1].number if report.batches else seen
        yield message(report, report.type)
        if services.gate.draining:
            return
        await asyncio.sleep(interval)


def _report(services: Services, seen: int) -> EngineReport:
    dispatcher = services.dispatcher
    health = dispatcher.health()
    return EngineReport(
        now=dispatcher.now(),
        ready=health.alive and health.ready and not services.gate.draining,
        running=health.running,
        waiting=health.waiting,
        max_waiting=services.settings.max_waiting,
        batches=[_batch(number, record) for number, record in services.activity.since(seen)],
    )


def _batch(number: int, record: StepRecord) -> BatchReport:
    return BatchReport(
        number=number,
        model=record.lane.model,
        kind=record.kind,
        samples=record.samples,
        full=record.full,
        rows=record.rows,
        times=record.times,
        ms=round(1000 * record.elapsed, 2),
        ended=round(record.ended, 4),
    )
