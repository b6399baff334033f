"""The application: routes, middleware and services around one dispatcher."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from service.dispatch.base import Dispatcher
from service.http import engine, health, images, models, playground
from service.http.auth import Keys
from service.http.context import ContextMiddleware
from service.http.errors import on_http_exception, on_validation_error
from service.http.failures import FailureMiddleware
from service.http.gate import Gate
from service.http.guard import GuardMiddleware
from service.http.openapi import describe
from service.http.results import Results
from service.http.services import Services
from service.media.pool import MediaPool
from service.observe.activity import Activity
from service.observe.logs import make_logger
from service.observe.metrics import Metrics
from service.settings import Settings

DESCRIPTION = "Generators that decode by iterative unmasking, behind the OpenAI API."
EXPOSED = ["x-request-id", "openai-processing-ms", "retry-after"] + [
    f"x-maskserve-{name}" for name in ("seed", "plan", "steps", "model", "checkpoint", "fingerprint")
]


def create_app(settings: Settings, dispatcher: Dispatcher) -> FastAPI:
    """An app of its own: two in one process share nothing. Its shutdown drains the dispatcher."""
    services = _services(settings, dispatcher)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await services.gate.drain(dispatcher, settings.drain_seconds)
        services.pool.close()

    cors = Middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=EXPOSED,
    )
    middleware = [
        Middleware(ContextMiddleware, services=services),
        *([cors] if settings.cors_origins else []),
        Middleware(FailureMiddleware, services=services),
        Middleware(GuardMiddleware, services=services),
    ]
    app = _routed(lifespan=lifespan, middleware=middleware)
    app.state.services = services
    return app


def create_openapi() -> dict[str, Any]:
    """The OpenAPI document, which depends on no model and no setting."""
    return describe(_routed())


def _routed(**options: Any) -> FastAPI:
    app = FastAPI(
        title="maskserve",
        version=version("maskserve"),
        description=DESCRIPTION,
        redirect_slashes=False,
        redoc_url=None,
        exception_handlers={
            HTTPException: on_http_exception,
            RequestValidationError: on_validation_error,
        },
        **options,
    )
    for part in (images, models, engine, health, playground):
        app.include_router(part.router)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    return app


def _services(settings: Settings, dispatcher: Dispatcher) -> Services:
    metrics = Metrics()
    activity = Activity()
    dispatcher.watch(metrics.stepped)
    dispatcher.watch(activity.stepped)
    metrics.watch("sequences_running", "Samples being decoded", lambda: dispatcher.health().running)
    metrics.watch("requests_waiting", "Requests not started", lambda: dispatcher.health().waiting)
    return Services(
        settings=settings,
        dispatcher=dispatcher,
        pool=MediaPool(settings.media_threads),
        results=Results(settings.results_bytes, settings.results_seconds),
        metrics=metrics,
        activity=activity,
        log=make_logger(settings.log_format, settings.log_level),
        gate=Gate(),
        keys=Keys(key.get_secret_value() for key in settings.api_keys),
    )
