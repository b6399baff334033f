"""What the HTTP layer must remember of an image request that outlives its connection."""

from typing import Any

import numpy as np

from models.catalogue import Catalogue
from service.artefacts.base import Store
from service.dispatch.base import Known, Terms
from service.http.errors import ApiError
from service.http.image_answers import Job
from service.http.image_output import Keep, Output
from service.packed import pack, unpack

KIND = "image"
ASIDE_SECONDS = 24 * 3600.0


def note_of(job: Job) -> bytes:
    """The kept pixels of an edit are too large for a note: see `put_aside`."""
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
            "keep": output.keep is not None,
        }
    )


async def put_aside(job: Job, store: Store) -> None:
    """Raises StoreFull, StoreAway."""
    if job.terms.kept and (keep := job.output.keep) is not None:
        content = pack({"pixels": keep.pixels, "mask": np.packbits(keep.mask)})
        await store.put(aside_key(job.ticket.id), content, ASIDE_SECONDS)


async def read_note(known: Known, catalogue: Catalogue, store: Store) -> Job:
    """The job that `note_of` described. Raises ApiError where the model or what was put aside is gone."""
    note: dict[str, Any] = unpack(known.note)
    entry = catalogue.entries.get(note["model"])
    if entry is None:
        raise ApiError(404, f"The model {note['model']!r} is not served any more.", "model_not_found")
    keep = await _keep(known, store) if note["keep"] else None
    width, height = note["size"]
    return Job(
        ticket=known.ticket,
        spec=entry.spec,
        output=Output(note["format"], note["compression"], (width, height), note["quality"], keep),
        understood=note["understood"],
        safety_identifier=note["safety_identifier"],
        name=note["name"],
        base=note["base"],
        delivery=note["delivery"],
        terms=Terms(kept=True),
    )


async def _keep(known: Known, store: Store) -> Keep:
    content = await store.get(aside_key(known.ticket.id))
    if content is None:
        raise ApiError(404, "The picture that was edited is not kept any more.", "result_expired")
    kept = unpack(content)
    height, width = kept["pixels"].shape[:2]
    mask = np.unpackbits(kept["mask"], count=height * width).astype(bool).reshape(height, width)
    return Keep(kept["pixels"], mask)


def aside_key(id: str) -> str:
    return f"{id}/keep"
