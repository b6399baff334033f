"""Who may pass, and whether the door is still open: checked before a byte of the body is read."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.http import artifacts
from service.http.errors import ApiError, draining
from service.http.services import Services


class GuardMiddleware:
    def __init__(self, app: ASGIApp, services: Services) -> None:
        self.app = app
        self.services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/v1/") and not _signed(scope):
            self._check(scope)
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        owner = self.services.keys.owner(Headers(scope=scope).get("authorization", ""))
        if owner is None:
            raise ApiError(
                401,
                "Missing or incorrect API key. Send it as 'Authorization: Bearer KEY'.",
                "invalid_api_key",
                headers={"www-authenticate": "Bearer"},
            )
        scope["state"]["context"].owner = owner
        if self.services.gate.draining and scope["method"] == "POST":
            self.services.metrics.rejected.labels("draining").inc()
            raise draining()


def _signed(scope: Scope) -> bool:
    """Whoever has a link needs no key."""
    path: str = scope["path"]
    return scope["method"] == "GET" and path.startswith(f"{artifacts.PREFIX}/")
