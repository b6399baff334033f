"""GET /health and /metrics of a process that serves no requests of its own: a worker."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from socket import socket

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.observe.metrics import Metrics

Report = Callable[[], tuple[bool, dict[str, object]]]


class _Quiet(uvicorn.Server):
    """Signals are the worker's."""

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
        return nullcontext()


@asynccontextmanager
async def probe(listener: socket, metrics: Metrics, report: Report) -> AsyncIterator[None]:
    """While it is open, `listener` is served by this event loop: whether it turns is part of the answer.

    report: whether the process is of use, and what to say about it.
    """

    async def health(request: Request) -> Response:
        able, words = report()
        return JSONResponse({"status": "ok" if able else "dead", **words}, 200 if able else 503)

    async def exposition(request: Request) -> Response:
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    app = Starlette(routes=[Route("/health", health), Route("/metrics", exposition)])
    server = _Quiet(uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="off"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving
