"""Kept requests for media, for the routes of jobs."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Any

from service.dispatch.base import Known, Subscription
from service.engine.events import Done, SampleDone
from service.http.context import Context
from service.http.errors import ApiError
from service.http.kinds import File
from service.http.making import Job, Made, Medium, file_key
from service.http.notes import read_note, with_kept
from service.http.runs import Run
from service.http.services import Services


@dataclass(frozen=True)
class MediaKind:
    services: Services
    medium: Medium

    async def result(self, known: Known, made: list[SampleDone], done: Done, base: str, inline: bool) -> dict[str, Any]:
        job = replace(self._read(known), base=base)
        found = [await self._made(job, event, inline) for event in sorted(made, key=lambda event: event.report.sample)]
        seconds = (known.ended or known.created) - known.created
        answer = self.medium.whole(job, found, done, seconds).model_dump(exclude_none=True)
        return answer | {"created": int(known.created)}

    def _read(self, known: Known) -> Job:
        return read_note(self.services, known, self.medium)

    async def _made(self, job: Job, event: SampleDone, inline: bool) -> Made:
        results, key = self.services.results, file_key(job, event.report.sample)
        if job.delivery == "b64_json" and inline and (file := await results.file(key)) is not None:
            return Made(event.report, file)
        return Made(event.report, None, await results.links.url(job.base, key))

    async def file(self, known: Known, index: int) -> File:
        job, n = self._read(known), known.ticket.request.n
        if not 0 <= index < n:
            raise ApiError(404, f"The job has {n} {self.medium.noun}s, from 0.", "not_found", "index")
        content = await self.services.results.file(file_key(job, index))
        if content is None:
            raise ApiError(404, "The result is not kept any more.", "result_expired")
        format = job.output.format
        return File(content, self.medium.types[format], f"{known.ticket.id}-{index}.{format}")

    async def forget(self, known: Known) -> None:
        await self.services.results.forget(known, self.medium)

    async def job_of(self, known: Known) -> Job:
        """With what an edit keeps. Raises ApiError, StoreAway."""
        return await with_kept(self.services, known, self._read(known))

    async def stream(self, context: Context, known: Known, subscription: Subscription) -> AsyncGenerator[bytes, None]:
        job = await self.job_of(known)

        async def listen() -> Subscription:
            return subscription

        return Run(self.services, context, job, listen).stream()
