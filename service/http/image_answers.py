"""From finished samples to OpenAI's response and event objects."""

import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from models.decoder import Artifact
from models.spec import DecoderSpec
from service.dispatch.base import Terms
from service.engine.events import Done, Event, Preview, Progress, Report, Started, Waiting
from service.engine.request import Ticket
from service.http.image_output import Output
from service.http.image_responses import (
    CompletedImage,
    ImagesResponse,
    ImagesUsage,
    PartialImage,
    Picture,
    QueuedImage,
    StartedImage,
    SteppedImage,
    Steps,
    Timings,
    TokenDetails,
)

StreamName = Literal["image_generation", "image_edit"]
Delivery = Literal["b64_json", "url"]


@dataclass(frozen=True)
class Job:
    """A checked image request. `understood` is what the model took from the prompt; `base` is where links begin."""

    ticket: Ticket
    spec: DecoderSpec
    output: Output
    understood: str | None
    safety_identifier: str | None
    name: StreamName
    base: str
    delivery: Delivery
    terms: Terms
    source: bytes | None = None  # what an edit of a kept request was made from


@dataclass(frozen=True)
class Made:
    """A finished sample: its report, its file and the link to it, where these are wanted, and its token grid."""

    report: Report
    file: bytes | None = None
    url: str | None = None
    grid: Mapping[str, Any] = field(default_factory=dict)


def file_key(job: Job, sample: int) -> str:
    """Where the store has a picture's file."""
    return f"{job.ticket.id}/picture-{sample}.{job.output.format}"


def picture_id(job: Job, sample: int) -> str:
    return f"img_{job.ticket.id.removeprefix('req_')}_{sample}"


def usage(job: Job, decoded: int) -> ImagesUsage:
    """A text token for a class or each term, the grid of a given picture, and every token that was decoded."""
    request = job.ticket.request
    condition = request.condition
    text = 0 if condition is None else len(condition) if isinstance(condition, tuple) else 1
    image = 0 if request.image is None else job.spec.length
    return ImagesUsage(
        input_tokens=text + image,
        output_tokens=decoded,
        total_tokens=text + image + decoded,
        input_tokens_details=TokenDetails(text_tokens=text, image_tokens=image),
        output_tokens_details=TokenDetails(text_tokens=0, image_tokens=decoded),
    )


def whole(job: Job, made: list[Made], done: Done, seconds: float) -> ImagesResponse:
    """The answer to a request that is not streamed; `seconds` since it came in."""
    return ImagesResponse(
        created=int(time.time()),
        data=[Picture(b64_json=_b64(one), url=one.url, **_history(job, one)) for one in made],
        usage=usage(job, sum(one.report.tokens for one in made)),
        safety_identifier=job.safety_identifier,
        seed=job.ticket.request.seed,
        model=job.spec.id,
        checkpoint=job.spec.checkpoint,
        fingerprint=made[0].report.fingerprint,
        timings=Timings(
            queue_ms=done.queue_seconds * 1000,
            run_ms=done.run_seconds * 1000,
            total_ms=seconds * 1000,
        ),
        **_described(job),
    )


def headers(job: Job, made: list[Made]) -> dict[str, str]:
    """How the pictures were made, for clients that keep headers; the first sample speaks for all."""
    report = made[0].report
    return {
        **early_headers(job),
        "x-maskserve-plan": report.plan,
        "x-maskserve-steps": f"{report.steps_full + report.steps_reuse}",
        "x-maskserve-fingerprint": report.fingerprint,
    }


def early_headers(job: Job) -> dict[str, str]:
    """What is known before the first step."""
    return {
        "x-maskserve-seed": str(job.ticket.request.seed),
        "x-maskserve-model": job.spec.id,
        "x-maskserve-checkpoint": job.spec.checkpoint,
        **({"x-maskserve-job": job.ticket.id} if job.terms.kept else {}),
    }


def news(job: Job, event: Event) -> QueuedImage | StartedImage | SteppedImage | None:
    """What `progress` adds to a stream; None for events that are no news, and where nobody asked."""
    name = job.name
    if not job.ticket.progress:
        return None
    match event:
        case Waiting():
            return QueuedImage(type=f"{name}.queued", place=event.place)
        case Started():
            return StartedImage(type=f"{name}.started", n=event.samples, seed=job.ticket.request.seed)
        case Progress():
            return SteppedImage(
                type=f"{name}.step",
                image_index=event.sample,
                step=event.step,
                steps_total=event.steps_total,
                revealed=event.revealed,
            )
        case _:
            return None


def partial_image(job: Job, event: Preview, file: bytes) -> PartialImage:
    return PartialImage(
        type=f"{job.name}.partial_image",
        b64_json=b64encode(file).decode(),
        created_at=int(time.time()),
        image_index=event.sample,
        partial_image_index=event.index,
        step=event.step,
        steps_total=event.steps_total,
        revealed=event.revealed,
        **_described(job),
        **(token_grid(event.artifact) if job.ticket.progress else {}),
    )


def token_grid(artifact: Artifact) -> dict[str, list[bool] | list[int] | list[float]]:
    """Of families that have one."""
    grid = {name: artifact.extra.get(name) for name in ("known", "confidence", "order")}
    return {
        name: (value.astype(float).round(3) if name == "confidence" else value).tolist()
        for name, value in grid.items()
        if isinstance(value, np.ndarray)
    }


def completed_image(job: Job, made: Made) -> CompletedImage:
    return CompletedImage(
        type=f"{job.name}.completed",
        b64_json=b64encode(made.file or b"").decode(),
        created_at=int(time.time()),
        image_index=made.report.sample,
        usage=usage(job, made.report.tokens),
        model=job.spec.id,
        checkpoint=job.spec.checkpoint,
        fingerprint=made.report.fingerprint,
        **_history(job, made),
        **_described(job),
        **(made.grid if job.ticket.progress else {}),
    )


def _b64(made: Made) -> str | None:
    return b64encode(made.file).decode() if made.file is not None and made.url is None else None


def _described(job: Job) -> dict[str, Any]:
    output = job.output
    return {
        "output_format": output.format,
        "quality": output.quality,
        "size": "{}x{}".format(*output.size),
    }


def _history(job: Job, made: Made) -> dict[str, Any]:
    report = made.report
    return {
        "revised_prompt": job.understood,
        "id": picture_id(job, report.sample),
        "seed": report.seed,
        "sample": report.sample,
        "plan": report.plan,
        "steps": Steps(full=report.steps_full, reuse=report.steps_reuse),
        "shortened": report.shortened,
        "resumed_from_step": report.resumed_from_step,
    }
