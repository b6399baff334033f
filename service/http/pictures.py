"""Finished pictures: rendered by whoever needs one first, kept for a while by request and sample.

A file can be fetched by a link; a result names its picture to a later edit (`image_id`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from structlog.typing import FilteringBoundLogger

from models.decoder import Artifact
from models.family import Understood
from service.artefacts.base import Store, StoreAway, StoreFull
from service.dispatch.base import Dispatcher
from service.engine.events import SampleDone
from service.http.errors import from_code
from service.http.image_answers import Job, Made, file_key, token_grid
from service.http.image_notes import aside_key, read_note
from service.http.image_output import Output
from service.http.links import Links
from service.media.encode import MEDIA_TYPES
from service.media.pool import MediaPool
from service.media.tags import make_tags
from service.packed import pack, unpack

ID = re.compile(r"img_([0-9a-f]{24})_(\d{1,2})")
FILE = re.compile(r"(req_[0-9a-f]{24})/picture-(\d{1,2})\.[a-z]{3,4}")


@dataclass(frozen=True)
class Result:
    """pixels: uint8 [H, W, C] as delivered; tokens: int [L], the grid that `model` decoded them from."""

    model: str
    owner: str
    understood: Understood
    pixels: np.ndarray
    tokens: np.ndarray

    def pack(self) -> bytes:
        return pack({**vars(self), "understood": vars(self.understood)})

    @classmethod
    def unpack(cls, content: bytes) -> "Result":
        values = unpack(content)
        condition = values["understood"]["condition"]
        values["understood"]["condition"] = tuple(condition) if isinstance(condition, list) else condition
        return cls(**{**values, "understood": Understood(**values["understood"])})


@dataclass(frozen=True)
class Pictures:
    dispatcher: Dispatcher
    pool: MediaPool
    links: Links
    log: FilteringBoundLogger
    seconds: float
    tag_files: bool

    @property
    def store(self) -> Store:
        return self.dispatcher.store

    async def partial(self, job: Job, artifact: Artifact) -> bytes:
        """The file of a picture that is not finished."""
        return (await self.pool.run(_render, job.output, artifact, None))[1]

    async def finish(self, job: Job, event: SampleDone) -> Made:
        """Render a sample and keep it. Raises ApiError where a link was asked for and there is no room."""
        report = event.report
        tags = make_tags(job.ticket.request, report, job.understood) if self.tag_files else None
        pixels, file = await self.pool.run(_render, job.output, event.artifact, tags)
        understood = Understood(job.ticket.request.condition, job.understood or "")
        result = Result(job.spec.id, job.ticket.owner, understood, pixels, event.artifact.tokens)
        await self._keep(_result_key(job.ticket.id, report.sample), result.pack())
        url = None
        if job.delivery == "url":
            key = file_key(job, report.sample)
            if not await self._keep(key, file):
                raise from_code("storage_full", "")
            url = await self.links.url(job.base, key)
        return Made(report, file, url, token_grid(event.artifact))

    async def _keep(self, key: str, content: bytes) -> bool:
        try:
            await self.store.put(key, content, self.seconds)
        except (StoreFull, StoreAway) as error:
            self.log.error("a result could not be kept", key=key, why=str(error))
            return False
        return True

    async def file(self, key: str) -> bytes | None:
        """What a link leads to."""
        kept = await self.store.get(key)
        if kept is not None or (named := FILE.fullmatch(key)) is None:
            return kept
        found = await self._again(named[1], int(named[2]))
        return found[1].file if found else None

    async def result(self, id: str, owner: str) -> Result | None:
        """The result that `id` names, unless it is gone or somebody else's."""
        named = ID.fullmatch(id)
        if named is None:
            return None
        request, sample = f"req_{named[1]}", int(named[2])
        kept = await self.store.get(_result_key(request, sample))
        if kept is None and await self._again(request, sample) is not None:
            kept = await self.store.get(_result_key(request, sample))
        result = None if kept is None else Result.unpack(kept)
        return result if result is not None and result.owner == owner else None

    async def forget(self, request: str, samples: int) -> None:
        """All that is kept of a request."""
        for sample in range(samples):
            files = [f"{request}/picture-{sample}.{format}" for format in MEDIA_TYPES]
            for key in (_result_key(request, sample), *files):
                await self.store.delete(key)
        await self.store.delete(aside_key(request))

    async def _again(self, request: str, sample: int) -> tuple[Job, Made] | None:
        """Of a kept request."""
        jobs = self.dispatcher.jobs
        if (known := await jobs.find(request)) is None or (event := await jobs.sample(request, sample)) is None:
            return None
        job = await read_note(known, self.dispatcher.catalogue, self.store)
        return job, await self.finish(job, event)


def _result_key(request: str, sample: int) -> str:
    return f"{request}/result-{sample}"


def _render(output: Output, artifact: Artifact, tags: Mapping[str, object] | None) -> tuple[np.ndarray, bytes]:
    """The delivered pixels and their file."""
    pixels = output.pixels(artifact.array)
    return pixels, output.file(pixels, tags)
