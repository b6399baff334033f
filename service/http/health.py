"""GET /health, /ready and /metrics: open to probes, without a key."""

from typing import Literal

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from service.http.errors import RETRY_LATER
from service.http.services import services_of

router = APIRouter(tags=["operation"])


class HealthReport(BaseModel):
    status: Literal["ok", "dead", "busy", "draining"]
    running: int
    waiting: int
    detail: str = ""


@router.get("/health", responses={200: {"model": HealthReport}, 503: {"model": HealthReport}})
async def health(request: Request) -> Response:
    """Alive: the process answers and the engine's loop turns."""
    state = services_of(request).dispatcher.health()
    report = HealthReport(
        status="ok" if state.alive else "dead",
        running=state.running,
        waiting=state.waiting,
        detail=state.detail,
    )
    return JSONResponse(report.model_dump(), 200 if state.alive else 503)


@router.get("/ready", responses={200: {"model": HealthReport}, 503: {"model": HealthReport}})
async def ready(request: Request) -> Response:
    """Ready: takes requests now."""
    services = services_of(request)
    state = services.dispatcher.health()
    draining = services.gate.draining
    able = state.alive and state.ready and not draining
    status: Literal["ok", "dead", "busy", "draining"] = (
        "ok" if able else "dead" if not state.alive else "draining" if draining else "busy"
    )
    report = HealthReport(status=status, running=state.running, waiting=state.waiting, detail=state.detail)
    return JSONResponse(report.model_dump(), 200 if able else 503, {} if able else RETRY_LATER)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Prometheus text format."""
    return Response(services_of(request).metrics.exposition(), media_type=CONTENT_TYPE_LATEST)
