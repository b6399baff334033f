"""Following one request to its end: answer whole or as a stream."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

from service.dispatch.base import Subscription
from service.engine.events import Done, Event, Failed, Preview, SampleDone, Waiting
from service.http.context import Context
from service.http.errors import ApiError, from_failed, internal, translated
from service.http.making import Delivery, Job, Made
from service.http.services import Services
from service.http.sse import KEEPALIVE, STARTED, message, with_keepalive


class Run:
    """`listen` submits the job, or follows one that runs already; whatever it raises is raised here.

    Leaving early, for whatever reason, cancels the work, unless the job is kept.
    """

    def __init__(
        self,
        services: Services,
        context: Context,
        job: Job,
        listen: Callable[[], Awaitable[Subscription]],
    ) -> None:
        self.services = services
        self.context = context
        self.job = job
        self.listen = listen
        self.ended: Done | Failed | None = None
        self.stage = "queue"

    async def whole(self) -> tuple[list[Made], Done]:
        """All samples in order. Raises ApiError."""
        made: list[Made] = []
        async with self._subscription() as events:
            async for event in self._events(events):
                if isinstance(event, SampleDone):
                    made.append(await self._finish(event, self.job.delivery))
        assert isinstance(self.ended, Done)
        return sorted(made, key=lambda one: one.report.sample), self.ended

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Framed events; the first chunk tells that the job has begun or waits. Raises ApiError, nothing else."""
        try:
            async with aclosing(self._stream()) as chunks:
                async for chunk in chunks:
                    yield chunk
        except Exception as error:
            if (told := translated(error)) is not None:
                raise told from None
            self.context.log["code"] = "internal_error"
            self.services.log.exception("unhandled", request_id=self.context.id)
            raise internal() from None

    async def _stream(self) -> AsyncGenerator[bytes, None]:
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
                        continue
                    if isinstance(event, Preview) and begun is not None:
                        self._observe_first_partial(time.perf_counter() - begun)
                        begun = None
                    if (framed := await self._framed(event)) is not None:
                        yield framed
                if not started:
                    yield STARTED

    async def _framed(self, event: Event) -> bytes | None:
        match event:
            case Preview():
                file = await self.services.results.partial(self.job, event.artifact)
                partial = self.job.medium.partial(self.job, event, file)
                return message(partial, partial.type, event.at)
            case SampleDone():
                completed = self.job.medium.completed(self.job, await self._finish(event, "b64_json"))
                return message(completed, completed.type, event.at)
            case _:
                told = self.job.medium.news(self.job, event)
                return None if told is None else message(told, told.type, event.at)

    @asynccontextmanager
    async def _subscription(self) -> AsyncIterator[Subscription]:
        subscription = await self.listen()
        try:
            yield subscription
        finally:
            if self.ended is None and not self.job.terms.kept:
                self.services.metrics.cancelled.labels(self.stage).inc()
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
                self.context.log["queue_ms"] = round(event.queue_seconds * 1000, 1)
                self.context.log["run_ms"] = round(event.run_seconds * 1000, 1)
                return
            yield event
        self.ended = Failed(self.job.ticket.id)
        raise internal()

    def _failure(self, failed: Failed) -> ApiError:
        error = from_failed(failed)
        self.context.log["code"] = failed.code
        if error.status >= 500:
            self.services.log.error("failed", request_id=self.context.id, code=failed.code, detail=failed.message)
        return error

    def _observe_first_partial(self, seconds: float) -> None:
        self.services.metrics.first_partial.labels(self.job.spec.id).observe(seconds)

    async def _finish(self, event: SampleDone, delivery: Delivery) -> Made:
        self.context.log["steps"] = event.report.steps_full + event.report.steps_reuse
        return await self.services.results.finish(self.job, event, delivery)
