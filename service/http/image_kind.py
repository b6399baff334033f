"""Kept image requests, for the routes of jobs."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Any

from service.dispatch.base import Known, Subscription
from service.engine.events import Done, SampleDone
from service.http.context import Context
from service.http.errors import ApiError
from service.http.image_answers import Job, Made, file_key, whole
from service.http.image_notes import read_keep, read_note
from service.http.image_runs import Run
from service.http.kinds import File
from service.http.pictures import Pictures
from service.http.services import Services
from service.media.encode import MEDIA_TYPES


@dataclass(frozen=True)
class ImageKind:
    services: Services

    @property
    def pictures(self) -> Pictures:
        return self.services.pictures

    async def result(self, known: Known, made: list[SampleDone], done: Done, base: str, inline: bool) -> dict[str, Any]:
        job = replace(read_note(self.services, known), base=base)
        found = [await self._made(job, event, inline) for event in sorted(made, key=lambda event: event.report.sample)]
        seconds = (known.ended or known.created) - known.created
        answer = whole(job, found, done, seconds).model_dump(exclude_none=True)
        return answer | {"created": int(known.created)}

    async def _made(self, job: Job, event: SampleDone, inline: bool) -> Made:
        key = file_key(job, event.report.sample)
        if job.delivery == "b64_json" and inline and (file := await self.pictures.file(key)) is not None:
            return Made(event.report, file)
        return Made(event.report, None, await self.pictures.links.url(job.base, key))

    async def file(self, known: Known, index: int) -> File:
        job = read_note(self.services, known)
        if not 0 <= index < known.ticket.request.n:
            raise ApiError(404, f"The job has {known.ticket.request.n} pictures, from 0.", "not_found", "index")
        content = await self.pictures.file(file_key(job, index))
        if content is None:
            raise ApiError(404, "The result is not kept any more.", "result_expired")
        format = job.output.format
        return File(content, MEDIA_TYPES[format], f"{known.ticket.id}-{index}.{format}")

    async def forget(self, known: Known) -> None:
        await self.pictures.forget(known)

    async def job_of(self, known: Known) -> Job:
        """With the kept pixels of an edit. Raises ApiError, StoreAway."""
        job = read_note(self.services, known)
        return replace(job, output=replace(job.output, keep=await read_keep(self.services, known)))

    async def stream(self, context: Context, known: Known, subscription: Subscription) -> AsyncGenerator[bytes, None]:
        job = await self.job_of(known)

        async def listen() -> Subscription:
            return subscription

        return Run(self.services, context, job, listen).stream()
