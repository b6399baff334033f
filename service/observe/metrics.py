"""Prometheus metrics of one app, in a registry of its own."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from service.engine.batch import StepRecord
from service.engine.events import Done, Event, Failed, SampleDone
from service.engine.request import Ticket

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """Names follow `maskserve_*`; labels are route templates, model ids and status codes, never client input."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "maskserve_requests",
            "Answered HTTP requests",
            ["endpoint", "model", "code"],
            registry=self.registry,
        )
        self.duration = self._seconds(
            "request_duration_seconds", "From the first byte in to the last byte out", ["endpoint"]
        )
        self.queue = self._seconds("queue_time_seconds", "Wait before the first step", ["model"])
        self.run = self._seconds("run_time_seconds", "From the first step to the last", ["model"])
        self.first_partial = self._seconds(
            "time_to_first_partial_seconds", "From submission to the first partial picture", ["model"]
        )
        self.steps = Counter(
            "maskserve_steps", "Decode steps of finished samples", ["model", "kind"], registry=self.registry
        )
        self.samples = Counter("maskserve_samples", "Finished samples", ["model"], registry=self.registry)
        self.shortened = Counter(
            "maskserve_shortened", "Samples that ran fewer steps", ["model"], registry=self.registry
        )
        self.resumed = Counter(
            "maskserve_resumed", "Samples that went on from another worker", ["model"], registry=self.registry
        )
        self.cancelled = Counter(
            "maskserve_cancelled", "Requests that their client left", ["stage"], registry=self.registry
        )
        self.failed = Counter("maskserve_failed", "Requests that ended with an error", ["code"], registry=self.registry)
        self.rejected = Counter("maskserve_rejected", "Requests not taken", ["reason"], registry=self.registry)

        self.step_seconds = self._seconds("step_duration_seconds", "One batch of the engine", ["model", "kind"])
        self.batch = Histogram(
            "maskserve_batch_size",
            "Sequences that shared a batch",
            ["model", "kind"],
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )

    def stepped(self, record: StepRecord) -> None:
        """The engine committed a batch."""
        labels = (record.lane.model, record.kind)
        self.step_seconds.labels(*labels).observe(record.elapsed)
        self.batch.labels(*labels).observe(record.samples)

    def heard(self, ticket: Ticket, event: Event) -> None:
        """The engine told this of a request."""
        match event:
            case SampleDone(report=report):
                self.samples.labels(ticket.model).inc()
                self.steps.labels(ticket.model, "full").inc(report.steps_full)
                self.steps.labels(ticket.model, "reuse").inc(report.steps_reuse)
                self.shortened.labels(ticket.model).inc(report.shortened)
                self.resumed.labels(ticket.model).inc(report.resumed_from_step > 0)
            case Done():
                self.queue.labels(ticket.model).observe(event.queue_seconds)
                self.run.labels(ticket.model).observe(event.run_seconds)
            case Failed():
                self.failed.labels(event.code).inc()

    def _seconds(self, name: str, text: str, labels: list[str]) -> Histogram:
        return Histogram(f"maskserve_{name}", text, labels, buckets=SECONDS, registry=self.registry)

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A gauge that is read when it is scraped."""
        Gauge(f"maskserve_{name}", text, registry=self.registry).set_function(read)

    def exposition(self) -> bytes:
        return generate_latest(self.registry)
