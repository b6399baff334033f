"""The last word on failures: whatever the routes raise becomes an error object, or silence for nobody."""

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.context import CLOSED, Context
from service.http.errors import ApiError, ClientGone, internal
from service.http.services import Services


class FailureMiddleware:
    def __init__(self, app: ASGIApp, services: Services) -> None:
        self.app = app
        self.services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        context: Context = scope["state"]["context"]
        try:
            await self.app(scope, receive, send)
        except (ClientGone, ClientDisconnect):
            context.status = CLOSED
            context.log["code"] = "client_closed_request"
        except ApiError as error:
            context.log["code"] = error.error.code
            await error.response()(scope, receive, send)
        except Exception:
            self.services.log.exception("unhandled", request_id=context.id)
            context.log["code"] = "internal_error"
            if context.status:  # the response has begun: only breaking off tells the client
                raise
            await internal().response()(scope, receive, send)
