"""Finished samples: rendered by whoever needs one first, kept for a while by request and sample.

A file can be fetched by a link; a result names its picture or sound to a later edit (`image_id`, `audio_id`).
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from structlog.typing import FilteringBoundLogger

from models.decoder import Artifact
from models.family import Understood
from service.artefacts.base import Store, StoreAway, StoreFull
from service.dispatch.base import Dispatcher, Known
from service.engine.events import SampleDone
from service.http.links import Links
from service.http.making import Delivery, Job, Made, Medium, Output, file_key
from service.media.pool import MediaPool
from service.media.tags import make_tags
from service.packed import pack, unpack

ID = re.compile(r"([a-z]{3})_([0-9a-f]{24})_([0-9]{1,2})")
FILE = re.compile(r"(req_[0-9a-f]{24})/[a-z]+-([0-9]{1,2})\.[a-z0-9]{3,4}")


@dataclass(frozen=True)
class Result:
    """media: pixels uint8 [H, W, C], audio float32 [N, C] or frames uint8 [N, H, W, C] as delivered; tokens: what
    `model` made them from; output: how it was delivered (`Medium.output_note`); tags: those of its file; prefix: of ids
    of its medium, none of older ones.
    """

    model: str
    owner: str
    understood: Understood
    media: np.ndarray
    tokens: np.ndarray
    output: Mapping[str, Any]
    tags: Mapping[str, Any] | None = None
    prefix: str = ""

    def pack(self) -> bytes:
        return pack({**vars(self), "understood": vars(self.understood)})

    @classmethod
    def unpack(cls, content: bytes) -> "Result":
        values = unpack(content)
        condition = values["understood"]["condition"]
        values["understood"]["condition"] = tuple(condition) if isinstance(condition, list) else condition
        return cls(**{**values, "understood": Understood(**values["understood"])})


@dataclass(frozen=True)
class Results:
    """job_of: the whole job of a kept request."""

    dispatcher: Dispatcher
    pool: MediaPool
    links: Links
    log: FilteringBoundLogger
    seconds: float
    tag_files: bool
    job_of: Callable[[Known], Awaitable[Job]]

    @property
    def store(self) -> Store:
        return self.dispatcher.store

    async def partial(self, job: Job, artifact: Artifact) -> bytes:
        """The file of a sample that is not finished."""
        return (await self.pool.run(_render, job.output, artifact, None))[1]

    async def finish(self, job: Job, event: SampleDone, delivery: Delivery) -> Made:
        """Render a sample and keep its result. Raises StoreFull, StoreAway where a linked file finds no place."""
        result, file = await self._rendered(job, event)
        await self._try_to_keep(_result_key(job.ticket.id, event.report.sample), result.pack())
        url = None
        if delivery == "url":
            key = file_key(job, event.report.sample)
            await self.store.put(key, file, self.seconds)
            url = await self.links.url(job.base, key)
        return Made(event.report, file, url, job.medium.detail(event.artifact))

    async def _rendered(self, job: Job, event: SampleDone) -> tuple[Result, bytes]:
        tags = make_tags(job.ticket.request, event.report, job.understood) if self.tag_files else None
        media, file = await self.pool.run(_render, job.output, event.artifact, tags)
        understood = Understood(job.ticket.request.condition, job.understood or "")
        note = job.medium.output_note(job.output)
        return Result(
            job.spec.id, job.ticket.owner, understood, media, event.artifact.tokens, note, tags, job.medium.prefix
        ), file

    async def _try_to_keep(self, key: str, content: bytes) -> None:
        try:
            await self.store.put(key, content, self.seconds)
        except (StoreFull, StoreAway) as error:
            self.log.error("a result could not be kept", key=key, why=str(error))

    async def file(self, key: str) -> bytes | None:
        """What a link leads to. Raises StoreAway, QueueAway."""
        kept = await self.store.get(key)
        if kept is not None or (named := FILE.fullmatch(key)) is None:
            return kept
        found = await self._again(named[1], int(named[2]), key)
        return found[1] if found else None

    async def result(self, prefix: str, id: str, owner: str) -> Result | None:
        """The result that `id` names, unless it is gone, of another medium or somebody else's. Raises StoreAway,
        QueueAway.
        """
        named = ID.fullmatch(id)
        if named is None or named[1] != prefix:
            return None
        request, sample = f"req_{named[2]}", int(named[3])
        kept = await self.store.get(_result_key(request, sample))
        if kept is not None:
            result = Result.unpack(kept)
        else:
            found = await self._again(request, sample, owner=owner)
            if found is None:
                return None
            result, _ = found
        return result if result.owner == owner and result.prefix in (prefix, "") else None

    async def once(self, key: str, make: Callable[[], bytes]) -> bytes:
        """A file that is made where it is not kept, and kept. Raises StoreAway."""
        kept = await self.store.get(key)
        if kept is None:
            kept = await self.pool.run(make)
            await self._try_to_keep(key, kept)
        return kept

    async def forget(self, known: Known, medium: Medium) -> None:
        """All that is kept of a request. Raises StoreAway."""
        id = known.ticket.id
        for sample in range(known.ticket.request.n):
            await self.store.delete(_result_key(id, sample))
            for format in medium.types:
                await self.store.delete(f"{id}/{medium.noun}-{sample}.{format}")
        if (source := unpack(known.note)["source"]) is not None:
            await self.store.delete(source)

    async def _again(
        self, id: str, sample: int, key: str = "", owner: str | None = None
    ) -> tuple[Result, bytes] | None:
        """Of a kept request, from what the engine made. owner: whose it must be, None for whoever has a link."""
        known = await self.dispatcher.jobs.find(id)
        if known is None or owner not in (None, known.ticket.owner):
            return None
        event = await self.dispatcher.jobs.sample(id, sample)
        if event is None:
            return None
        result, file = await self._rendered(await self.job_of(known), event)
        await self._try_to_keep(_result_key(id, sample), result.pack())
        if key:
            await self._try_to_keep(key, file)
        return result, file


def _result_key(request: str, sample: int) -> str:
    return f"{request}/result-{sample}"


def _render(output: Output, artifact: Artifact, tags: Mapping[str, object] | None) -> tuple[np.ndarray, bytes]:
    """What is delivered, and its file."""
    media = output.media(artifact.array)
    return media, output.file(media, tags)
