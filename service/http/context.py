"""Around every request: its id, its timing, its log line and its metrics."""

import re
import secrets
from dataclasses import dataclass, field
from time import perf_counter

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.errors import ClientGone
from service.http.services import Services

CLIENT_ID = re.compile(r"[ -~]{1,512}")
CLOSED = 499
SECRET = "/v1/artifacts/"  # whoever reads such a path in a log could use it
QUIET = ("/health", "/ready", "/metrics", "/web/{path:path}")  # asked for again and again


@dataclass
class Context:
    """One request. `owner` is the API key's id, `log` goes into the request's log line."""

    id: str
    started: float
    owner: str = ""
    model: str = ""
    status: int = 0
    log: dict[str, object] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return perf_counter() - self.started


def context_of(request: Request) -> Context:
    context: Context = request.state.context
    return context


class ContextMiddleware:
    def __init__(self, app: ASGIApp, services: Services) -> None:
        self.app = app
        self.services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        context = Context(f"req_{secrets.token_hex(12)}", perf_counter())
        scope.setdefault("state", {})["context"] = context
        head = scope["method"] == "HEAD"
        inner = {**scope, "method": "GET"} if head else scope

        async def tagged(message: Message) -> None:
            if message["type"] == "http.response.start":
                context.status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = context.id
                headers["openai-processing-ms"] = f"{context.seconds * 1000:.0f}"
            await send(message)
            if head and message.get("more_body"):
                await send({"type": "http.response.body"})
                raise ClientGone  # who asked for the head of a stream has it

        try:
            await self.app(inner, receive, tagged)
        finally:
            self._account(context, inner, scope["method"])

    def _account(self, context: Context, scope: Scope, method: str) -> None:
        route = scope.get("route")
        endpoint: str = route.path if route is not None else "unmatched"
        seconds = context.seconds
        metrics = self.services.metrics
        metrics.requests.labels(endpoint, context.model, str(context.status)).inc()
        metrics.duration.labels(endpoint).observe(seconds)
        client = Headers(scope=scope).get("x-client-request-id", "")
        path = f"{SECRET}..." if scope["path"].startswith(SECRET) else scope["path"]
        tell = self.services.log.debug if endpoint in QUIET else self.services.log.info
        tell(
            "request",
            request_id=context.id,
            client_request_id=client if CLIENT_ID.fullmatch(client) else None,
            key_id=context.owner or None,
            method=method,
            path=path,
            status=context.status,
            ms=round(seconds * 1000, 1),
            **context.log,
        )
