"""What the HTTP layer must remember of a request that outlives its connection."""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from service.dispatch.base import Known, Terms
from service.http.errors import ApiError
from service.http.making import Job, Medium
from service.http.services import Services
from service.packed import pack, unpack

SOURCE_SECONDS = 6 * 3600.0


def note_of(job: Job) -> bytes:
    """What an edit was made from is too large for a note: it lies in the store."""
    note: Mapping[str, Any] = {
        "kind": job.medium.kind,
        "name": job.name,
        "model": job.spec.id,
        "base": job.base,
        "delivery": job.delivery,
        "understood": job.understood,
        "safety_identifier": job.safety_identifier,
        "output": job.medium.output_note(job.output),
        "source": None if job.source is None else source_key(job),
    }
    return pack(note)


def source_key(job: Job) -> str:
    """Named after its content: another request with the same key has another one."""
    return f"{job.ticket.id}/source-{sha256(job.source or b'').hexdigest()[:16]}"


def read_note(services: Services, known: Known, medium: Medium) -> Job:
    """The job that `note_of` described, but for what an edit keeps. Raises ApiError where its model is gone."""
    note: dict[str, Any] = unpack(known.note)
    entry = services.dispatcher.catalogue.entries.get(note["model"])
    if entry is None:
        raise ApiError(404, f"The model {note['model']!r} is not served any more.", "model_not_found")
    return Job(
        medium=medium,
        ticket=known.ticket,
        spec=entry.spec,
        output=medium.read_output(note["output"]),
        understood=note["understood"],
        safety_identifier=note["safety_identifier"],
        name=note["name"],
        base=note["base"],
        delivery=note["delivery"],
        terms=Terms(kept=True),
    )


async def with_kept(services: Services, known: Known, job: Job) -> Job:
    """With what an edit keeps. Raises ApiError where its source is gone, StoreAway."""
    note: dict[str, Any] = unpack(known.note)
    if note["source"] is None:
        return job
    content = await services.dispatcher.store.get(note["source"])
    if content is None:
        raise ApiError(404, "What was edited is not kept any more.", "result_expired")
    return replace(job, output=await job.medium.kept(services, job, content))
