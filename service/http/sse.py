"""Server-sent events: framing, keepalives, errors after the start, and a client that hangs up."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping
from contextlib import aclosing
from typing import TypeVar

from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.http.errors import ApiError, ClientGone

T = TypeVar("T")
KEEPALIVE = b": keepalive\n\n"
STARTED = b": started\n\n"
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


def message(event: BaseModel, type: str, id: str = "") -> bytes:
    """`id` is where a client that lost the connection goes on (`Last-Event-ID`)."""
    line = f"id: {id}\n" if id else ""
    return f"{line}event: {type}\ndata: {event.model_dump_json(exclude_none=True)}\n\n".encode()


class ErrorEvent(BaseModel):
    """The last event of a stream that failed after it had started."""

    type: str = "error"
    error: dict[str, object]


def error_message(error: ApiError) -> bytes:
    return message(ErrorEvent(error=error.error.model_dump()), "error")


async def with_keepalive(events: AsyncIterator[T], seconds: float) -> AsyncGenerator[T | None, None]:
    """The events, and None whenever none has come for `seconds`."""
    pending: asyncio.Task[T] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(_next(events))
            done, _ = await asyncio.wait({pending}, timeout=seconds)
            if not done:
                yield None
                continue
            task, pending = pending, None
            try:
                event = task.result()
            except StopAsyncIteration:
                return
            yield event
    finally:
        if pending is not None:
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)


async def _next(events: AsyncIterator[T]) -> T:
    return await anext(events)


async def gone(receive: Receive) -> None:
    """Returns when the client has hung up; for use after the body was read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_gone(receive: Receive, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled with ClientGone when the client hangs up first."""
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(gone(receive))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        task.cancel()
        watch.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


class EventStream(Response):
    """Nothing is sent before the first chunk: a failure up to there is an ordinary error response."""

    media_type = "text/event-stream"

    def __init__(self, chunks: AsyncGenerator[bytes, None], headers: Mapping[str, str]) -> None:
        super().__init__(headers={**HEADERS, **headers})
        del self.headers["content-length"]
        self.chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self.chunks):
            await unless_gone(receive, self._send(send))

    async def _send(self, send: Send) -> None:
        first = await anext(self.chunks)
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": first, "more_body": True})
        try:
            async for chunk in self.chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            last = b""
        except ApiError as error:
            last = error_message(error)
        await send({"type": "http.response.body", "body": last})
