"""The last word on failures: whatever the routes raise becomes an error object, or silence for nobody."""

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.context import CLOSED, Context
from service.http.errors import ClientGone, internal, translated
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
        except Exception as error:
            if (told := translated(error)) is not None and not context.status:
                context.log["code"] = told.error.code
                return await told.response()(scope, receive, send)
            self.services.log.exception("unhandled", request_id=context.id)
            context.log["code"] = "internal_error"
            if context.status:  # the response has begun: only breaking off tells the client
                raise
            await internal().response()(scope, receive, send)
