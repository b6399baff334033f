"""The application: routes, middleware and services around one dispatcher."""

import asyncio
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
from service.http import artifacts, audio, engine, health, images, jobs, models, playground, videos
from service.http.audio_medium import AUDIO
from service.http.auth import Keys
from service.http.context import ContextMiddleware
from service.http.errors import on_http_exception, on_validation_error
from service.http.failures import FailureMiddleware
from service.http.gate import Gate
from service.http.guard import GuardMiddleware
from service.http.image_medium import IMAGE
from service.http.kinds import Kind
from service.http.links import Links
from service.http.making import Medium
from service.http.media_kind import MediaKind
from service.http.openapi import describe
from service.http.results import Results
from service.http.services import Services
from service.http.video_medium import VIDEO
from service.http.webhooks import Webhooks, body_of
from service.media.pool import MediaPool
from service.observe.activity import Activity
from service.observe.logs import make_logger
from service.observe.metrics import Metrics
from service.settings import Settings
from service.webhooks.courier import Courier
from service.webhooks.networks import parsed
from service.webhooks.sender import Sender
from service.webhooks.signing import Secret

MEDIA: tuple[Medium, ...] = (IMAGE, AUDIO, VIDEO)
DESCRIPTION = "Generators that decode by iterative unmasking, behind the OpenAI API."
EXPOSED = (
    ["x-request-id", "openai-processing-ms", "openai-poll-after-ms", "retry-after", "x-should-retry"]
    + [
        "location",
        "preference-applied",
    ]
    + [f"x-maskserve-{name}" for name in ("seed", "plan", "steps", "model", "checkpoint", "fingerprint", "job")]
)


def create_app(settings: Settings, dispatcher: Dispatcher) -> FastAPI:
    """An app of its own: two in one process share nothing. Its shutdown drains the dispatcher.

    Raises ValueError, OSError for settings that cannot be used.
    """
    services = _services(settings, dispatcher)
    courier = _courier(settings, services)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _delivering(courier, services):
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
    for part in (images, audio, videos, jobs, artifacts, models, engine, health, playground):
        app.include_router(part.router)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    return app


def _services(settings: Settings, dispatcher: Dispatcher) -> Services:
    metrics = Metrics()
    activity = Activity()
    dispatcher.watch(metrics.stepped)
    dispatcher.watch(activity.stepped)
    dispatcher.hear(metrics.heard)
    metrics.watch("sequences_running", "Samples being decoded", lambda: dispatcher.health().running)
    metrics.watch("requests_waiting", "Requests not started", lambda: dispatcher.health().waiting)
    log = make_logger(settings.log_format, settings.log_level)
    pool = MediaPool(settings.media_threads)
    links = Links(dispatcher.jobs.secret, settings.results_seconds)
    kinds: dict[str, Kind] = {}  # they need the services, which need them
    results = Results(
        dispatcher,
        pool,
        links,
        log,
        settings.results_seconds,
        settings.tag_files,
        lambda known: services.kind_of(known).job_of(known),
    )
    services = Services(
        settings=settings,
        dispatcher=dispatcher,
        pool=pool,
        results=results,
        webhooks=Webhooks(settings.webhook_hosts if settings.webhook_secret else [], parsed(settings.webhook_networks)),
        kinds=kinds,
        metrics=metrics,
        activity=activity,
        log=log,
        gate=Gate(),
        keys=Keys(key.get_secret_value() for key in settings.api_keys),
    )
    kinds |= {medium.kind: MediaKind(services, medium) for medium in MEDIA}
    return services


def _courier(settings: Settings, services: Services) -> Courier | None:
    """Raises ValueError, OSError for settings that are none."""
    if settings.webhook_secret is None:
        return None
    secret = Secret.parse(settings.webhook_secret.get_secret_value())
    sender = Sender(secret, settings.webhook_hosts, settings.webhook_networks, settings.webhook_ca)
    dispatcher = services.dispatcher
    return Courier(dispatcher.ledger, sender, body_of(dispatcher.jobs, services.kind_of, settings.public_url or ""))


@asynccontextmanager
async def _delivering(courier: Courier | None, services: Services) -> AsyncIterator[None]:
    """While it is open, webhooks are delivered."""
    if courier is None:
        yield
        return

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            services.log.error("webhooks are delivered no more", why=str(task.exception()))

    task = asyncio.create_task(courier.run())
    task.add_done_callback(ended)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
