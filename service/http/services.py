"""What the routes stand on, made once per app."""

from dataclasses import dataclass

from fastapi import Request
from structlog.typing import FilteringBoundLogger

from service.dispatch.base import Dispatcher
from service.http.auth import Keys
from service.http.gate import Gate
from service.http.results import Results
from service.media.pool import MediaPool
from service.observe.activity import Activity
from service.observe.metrics import Metrics
from service.settings import Settings


@dataclass(frozen=True)
class Services:
    settings: Settings
    dispatcher: Dispatcher
    pool: MediaPool
    results: Results
    metrics: Metrics
    activity: Activity
    log: FilteringBoundLogger
    gate: Gate
    keys: Keys


def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services
