"""OpenAI's response and event objects for pictures."""

import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from models.decoder import Artifact
from service.engine.events import Done, Event, Preview, Progress, Started, Waiting
from service.http.image_output import ImageOutput, Keep
from service.http.image_responses import (
    CompletedImage,
    ImagesResponse,
    ImagesUsage,
    PartialImage,
    Picture,
    QueuedImage,
    StartedImage,
    SteppedImage,
    TokenDetails,
)
from service.http.making import Job, Made, b64, result_id
from service.http.responses import Steps, Timings
from service.http.services import Services
from service.media.encode import MEDIA_TYPES
from service.packed import unpack


@dataclass(frozen=True)
class ImageMedium:
    kind: str = "image"
    prefix: str = "img"
    noun: str = "picture"

    @property
    def types(self) -> Mapping[str, str]:
        return cast(Mapping[str, str], MEDIA_TYPES)

    def whole(self, job: Job, made: list[Made], done: Done, seconds: float) -> ImagesResponse:
        return ImagesResponse(
            created=int(time.time()),
            data=[Picture(b64_json=b64(one), url=one.url, **_history(job, one)) for one in made],
            usage=_usage(job, sum(one.report.tokens for one in made)),
            safety_identifier=job.safety_identifier,
            seed=job.ticket.request.seed,
            model=job.spec.id,
            checkpoint=job.spec.checkpoint,
            fingerprint=made[0].report.fingerprint,
            timings=Timings.of(done, seconds),
            **_described(job),
        )

    def news(self, job: Job, event: Event) -> QueuedImage | StartedImage | SteppedImage | None:
        name: Any = job.name
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

    def partial(self, job: Job, event: Preview, file: bytes) -> PartialImage:
        name: Any = job.name
        return PartialImage(
            type=f"{name}.partial_image",
            b64_json=b64encode(file).decode(),
            created_at=int(time.time()),
            image_index=event.sample,
            partial_image_index=event.index,
            step=event.step,
            steps_total=event.steps_total,
            revealed=event.revealed,
            **_described(job),
            **(self.detail(event.artifact) if job.ticket.progress else {}),
        )

    def completed(self, job: Job, made: Made) -> CompletedImage:
        name: Any = job.name
        return CompletedImage(
            type=f"{name}.completed",
            b64_json=b64encode(made.file or b"").decode(),
            created_at=int(time.time()),
            image_index=made.report.sample,
            usage=_usage(job, made.report.tokens),
            model=job.spec.id,
            checkpoint=job.spec.checkpoint,
            fingerprint=made.report.fingerprint,
            **_history(job, made),
            **_described(job),
            **(made.detail if job.ticket.progress else {}),
        )

    def detail(self, artifact: Artifact) -> dict[str, list[bool] | list[int] | list[float]]:
        """The token grid, of families that have one."""
        grid = {name: artifact.extra.get(name) for name in ("known", "confidence", "order")}
        return {
            name: (value.astype(float).round(3) if name == "confidence" else value).tolist()
            for name, value in grid.items()
            if isinstance(value, np.ndarray)
        }

    def output_note(self, output: ImageOutput) -> dict[str, Any]:
        return {
            "format": output.format,
            "compression": output.compression,
            "size": list(output.size),
            "quality": output.quality,
        }

    def read_output(self, note: dict[str, Any]) -> ImageOutput:
        width, height = note["size"]
        return ImageOutput(note["format"], note["compression"], (width, height), note["quality"])

    async def kept(self, services: Services, job: Job, source: bytes) -> ImageOutput:
        from service.http.image_inputs import Files, source_for  # which knows results, which know media

        images, mask = unpack(source)
        found = await source_for(services, job.spec, Files(images, mask), None)
        return cast(ImageOutput, job.output).keeping(Keep(found.pixels, found.mask))


IMAGE = ImageMedium()


def _usage(job: Job, decoded: int) -> ImagesUsage:
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


def _described(job: Job) -> dict[str, Any]:
    output = cast(ImageOutput, job.output)
    return {
        "output_format": output.format,
        "quality": output.quality,
        "size": "{}x{}".format(*output.size),
    }


def _history(job: Job, made: Made) -> dict[str, Any]:
    report = made.report
    return {
        "revised_prompt": job.understood,
        "id": result_id(job, report.sample),
        "seed": report.seed,
        "sample": report.sample,
        "plan": report.plan,
        "steps": Steps(full=report.steps_full, reuse=report.steps_reuse),
        "shortened": report.shortened,
        "resumed_from_step": report.resumed_from_step,
    }
