"""What the routes stand on, made once per app."""

from dataclasses import dataclass

from fastapi import Request
from structlog.typing import FilteringBoundLogger

from service.dispatch.base import Dispatcher, Known
from service.http.auth import Keys
from service.http.gate import Gate
from service.http.kinds import Kind
from service.http.results import Results
from service.http.webhooks import Webhooks
from service.media.pool import MediaPool
from service.observe.activity import Activity
from service.observe.metrics import Metrics
from service.packed import unpack
from service.settings import Settings


@dataclass(frozen=True)
class Services:
    settings: Settings
    dispatcher: Dispatcher
    pool: MediaPool
    results: Results
    webhooks: Webhooks
    kinds: dict[str, Kind]
    metrics: Metrics
    activity: Activity
    log: FilteringBoundLogger
    gate: Gate
    keys: Keys

    def kind_of(self, known: Known) -> Kind:
        return self.kinds[unpack(known.note)["kind"]]


def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services
