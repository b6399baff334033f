"""What the HTTP layer must remember of an image request that outlives its connection."""

from hashlib import sha256
from typing import Any

from service.dispatch.base import Known, Terms
from service.http.errors import ApiError
from service.http.image_answers import Job
from service.http.image_inputs import Files, source_for
from service.http.image_output import Keep, Output
from service.http.services import Services
from service.packed import pack, unpack

KIND = "image"
SOURCE_SECONDS = 6 * 3600.0


def note_of(job: Job) -> bytes:
    """The picture of an edit is too large for a note: it lies in the store."""
    output = job.output
    return pack(
        {
            "kind": KIND,
            "name": job.name,
            "model": job.spec.id,
            "base": job.base,
            "delivery": job.delivery,
            "understood": job.understood,
            "safety_identifier": job.safety_identifier,
            "format": output.format,
            "compression": output.compression,
            "size": list(output.size),
            "quality": output.quality,
            "source": None if job.source is None else source_key(job),
        }
    )


def packed_source(files: Files) -> bytes:
    """What a client uploaded for an edit, to put its kept pixels back later."""
    return pack([files.images, files.mask])


def source_key(job: Job) -> str:
    """Named after its content: another request with the same key has another one."""
    return f"{job.ticket.id}/source-{sha256(job.source or b'').hexdigest()[:16]}"


def read_note(services: Services, known: Known) -> Job:
    """The job that `note_of` described, but for the kept pixels of an edit. Raises ApiError where its model is gone."""
    note: dict[str, Any] = unpack(known.note)
    entry = services.dispatcher.catalogue.entries.get(note["model"])
    if entry is None:
        raise ApiError(404, f"The model {note['model']!r} is not served any more.", "model_not_found")
    width, height = note["size"]
    return Job(
        ticket=known.ticket,
        spec=entry.spec,
        output=Output(note["format"], note["compression"], (width, height), note["quality"]),
        understood=note["understood"],
        safety_identifier=note["safety_identifier"],
        name=note["name"],
        base=note["base"],
        delivery=note["delivery"],
        terms=Terms(kept=True),
    )


async def read_keep(services: Services, known: Known) -> Keep | None:
    """The kept pixels of an edit. Raises ApiError where its source is gone, StoreAway."""
    note: dict[str, Any] = unpack(known.note)
    if note["source"] is None:
        return None
    content = await services.dispatcher.store.get(note["source"])
    if content is None:
        raise ApiError(404, "The picture that was edited is not kept any more.", "result_expired")
    images, mask = unpack(content)
    spec = services.dispatcher.catalogue.entries[note["model"]].spec
    source = await source_for(services, spec, Files(images, mask), None)
    return Keep(source.pixels, source.mask)
