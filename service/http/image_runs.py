"""Running one image request: submit its ticket, follow its events, answer whole or as a stream."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager

import numpy as np

from models.decoder import Artifact
from models.family import Understood
from service.dispatch.base import Subscription
from service.engine.events import Done, Event, Failed, Preview, SampleDone, Waiting
from service.engine.request import Refused
from service.http.context import Context
from service.http.errors import ApiError, from_failed, from_refused, internal
from service.http.image_answers import Job, Made, StreamName, completed_image, news, partial_image, token_grid
from service.http.image_output import Output
from service.http.results import Result
from service.http.services import Services
from service.http.sse import KEEPALIVE, STARTED, message, with_keepalive
from service.media.tags import make_tags


class Run:
    """Follows one job to its end and keeps the books. Leaving early, for whatever reason, cancels the work."""

    def __init__(self, services: Services, context: Context, job: Job) -> None:
        self.services = services
        self.context = context
        self.job = job
        self.ended: Done | Failed | None = None
        self.stage = "queue"

    async def whole(self) -> tuple[list[Made], Done]:
        """All samples in order. Raises ApiError."""
        made: list[Made] = []
        async with self._subscription() as events:
            async for event in self._events(events):
                if isinstance(event, SampleDone):
                    made.append(await self._keep(event))
        assert isinstance(self.ended, Done)
        return sorted(made, key=lambda one: one.report.sample), self.ended

    async def stream(self, name: StreamName) -> AsyncGenerator[bytes, None]:
        """Framed events; the first chunk tells that the job has begun or waits. Raises ApiError, nothing else."""
        try:
            async with aclosing(self._stream(name)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except ApiError:
            raise
        except Exception:
            self.context.log["code"] = "internal_error"
            self.services.log.exception("unhandled", request_id=self.context.id)
            raise internal() from None

    async def _stream(self, name: StreamName) -> AsyncGenerator[bytes, None]:
        begun: float | None = time.perf_counter()
        started = False
        async with self._subscription() as subscription:
            patience = self.services.settings.keepalive_seconds
            async with aclosing(with_keepalive(self._events(subscription), patience)) as events:
                async for event in events:
                    if not started:
                        started = True
                        yield STARTED
                    if event is None:
                        yield KEEPALIVE
                    elif isinstance(event, Preview):
                        if begun is not None:
                            self._observe_first_partial(time.perf_counter() - begun)
                            begun = None
                        _, file = await self._render(event.artifact, None)
                        partial = partial_image(self.job, name, event, file)
                        yield message(partial, partial.type)
                    elif isinstance(event, SampleDone):
                        completed = completed_image(self.job, name, await self._keep(event))
                        yield message(completed, completed.type)
                    elif (told := news(self.job, name, event)) is not None:
                        yield message(told, told.type)

    @asynccontextmanager
    async def _subscription(self) -> AsyncIterator[Subscription]:
        metrics = self.services.metrics
        try:
            subscription = await self.services.dispatcher.submit(self.job.ticket)
        except Refused as refused:
            metrics.rejected.labels(refused.code).inc()
            self.ended = Failed(self.job.ticket.id, refused.code)
            raise from_refused(refused) from None
        try:
            yield subscription
        finally:
            if self.ended is None:
                metrics.cancelled.labels(self.stage).inc()
            subscription.close()

    async def _events(self, subscription: Subscription) -> AsyncGenerator[Event, None]:
        """The events before the last one. Failed, and an end without a last event, become ApiError."""
        async for event in subscription:
            if not isinstance(event, Waiting):
                self.stage = "run"
            if isinstance(event, Failed):
                self.ended = event
                raise self._failure(event)
            if isinstance(event, Done):
                self.ended = event
                self._account(event)
                return
            yield event
        self.ended = Failed(self.job.ticket.id)
        raise internal()

    def _failure(self, failed: Failed) -> ApiError:
        error = from_failed(failed)
        self.context.log["code"] = failed.code
        self.services.metrics.failed.labels(failed.code).inc()
        if error.status >= 500:
            self.services.log.error("failed", request_id=self.context.id, code=failed.code, detail=failed.message)
        return error

    def _account(self, done: Done) -> None:
        model = self.job.spec.id
        self.services.metrics.queue.labels(model).observe(done.queue_seconds)
        self.services.metrics.run.labels(model).observe(done.run_seconds)
        self.context.log["queue_ms"] = round(done.queue_seconds * 1000, 1)
        self.context.log["run_ms"] = round(done.run_seconds * 1000, 1)

    def _observe_first_partial(self, seconds: float) -> None:
        self.services.metrics.first_partial.labels(self.job.spec.id).observe(seconds)

    async def _keep(self, event: SampleDone) -> Made:
        """Encode a finished sample, and store it for `image_id`."""
        job, report = self.job, event.report
        tagged = self.services.settings.tag_files
        tags = make_tags(job.ticket.request, report, job.understood) if tagged else None
        pixels, file = await self._render(event.artifact, tags)
        understood = Understood(job.ticket.request.condition, job.understood or "")
        result = Result(job.spec.id, self.context.owner, understood, pixels, event.artifact.tokens)
        metrics = self.services.metrics
        metrics.samples.labels(report.model).inc()
        metrics.steps.labels(report.model, "full").inc(report.steps_full)
        metrics.steps.labels(report.model, "reuse").inc(report.steps_reuse)
        metrics.shortened.labels(report.model).inc(report.shortened)
        self.context.log["steps"] = report.steps_full + report.steps_reuse
        return Made(report, file, self.services.results.keep(result), token_grid(event.artifact))

    async def _render(self, artifact: Artifact, tags: Mapping[str, object] | None) -> tuple[np.ndarray, str]:
        return await self.services.pool.run(_render, self.job.output, artifact, tags)


def _render(output: Output, artifact: Artifact, tags: Mapping[str, object] | None) -> tuple[np.ndarray, str]:
    """The delivered pixels and their file."""
    pixels = output.pixels(artifact.array)
    return pixels, output.file(pixels, tags)
