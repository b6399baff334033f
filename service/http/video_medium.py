"""Response and event objects for videos."""

import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from models.decoder import Artifact
from models.decoding.plan import Plan
from service.engine.events import Done, Event, Preview, Progress, Started, Waiting
from service.http.making import Job, Made, b64, result_id
from service.http.responses import Steps, Timings
from service.http.services import Services
from service.http.video_output import KeepClip, VideoOutput
from service.http.video_responses import (
    CompletedVideo,
    PartialVideo,
    QueuedVideo,
    StartedVideo,
    SteppedVideo,
    VideoMade,
    VideoResult,
    VideoUsage,
)
from service.media.videos import VIDEO_TYPES
from service.packed import pack, unpack


@dataclass(frozen=True)
class VideoMedium:
    kind: str = "video"
    prefix: str = "vid"
    noun: str = "video"

    @property
    def types(self) -> Mapping[str, str]:
        return cast(Mapping[str, str], VIDEO_TYPES)

    def whole(self, job: Job, made: list[Made], done: Done, seconds: float) -> VideoResult:
        return VideoResult(
            created=int(time.time()),
            data=[VideoMade(b64_json=b64(one), url=one.url, **_history(job, one)) for one in made],
            usage=_usage(job),
            seed=job.ticket.request.seed,
            model=job.spec.id,
            checkpoint=job.spec.checkpoint,
            fingerprint=made[0].report.fingerprint,
            timings=Timings.of(done, seconds),
            **_described(job),
        )

    def news(self, job: Job, event: Event) -> QueuedVideo | StartedVideo | SteppedVideo | None:
        name: Any = job.name
        if not job.ticket.progress:
            return None
        match event:
            case Waiting():
                return QueuedVideo(type=f"{name}.queued", place=event.place)
            case Started():
                return StartedVideo(type=f"{name}.started", n=event.samples, seed=job.ticket.request.seed)
            case Progress():
                return SteppedVideo(
                    type=f"{name}.step",
                    step=event.step,
                    steps_total=event.steps_total,
                    revealed=event.revealed,
                )
            case _:
                return None

    def partial(self, job: Job, event: Preview, file: bytes) -> PartialVideo:
        name: Any = job.name
        return PartialVideo(
            type=f"{name}.partial_video",
            b64_json=b64encode(file).decode(),
            created_at=int(time.time()),
            partial_video_index=event.index,
            task=job.ticket.request.clip_task or "",
            done=cast(int, event.artifact.extra.get("done", 0)),
            step=event.step,
            steps_total=event.steps_total,
            revealed=event.revealed,
            **_described(job),
        )

    def completed(self, job: Job, made: Made) -> CompletedVideo:
        name: Any = job.name
        return CompletedVideo(
            type=f"{name}.completed",
            b64_json=b64encode(made.file or b"").decode(),
            created_at=int(time.time()),
            usage=_usage(job),
            model=job.spec.id,
            checkpoint=job.spec.checkpoint,
            fingerprint=made.report.fingerprint,
            **_history(job, made),
            **_described(job),
        )

    def detail(self, artifact: Artifact) -> dict[str, Any]:
        return {}

    def output_note(self, output: VideoOutput) -> dict[str, Any]:
        return {name: value for name, value in vars(output).items() if name != "keep"}

    def read_output(self, note: dict[str, Any]) -> VideoOutput:
        return VideoOutput(**note)

    async def kept(self, services: Services, job: Job, source: bytes) -> VideoOutput:
        return cast(VideoOutput, job.output).keeping(KeepClip(**unpack(source)))


VIDEO = VideoMedium()


def packed_keep(keep: KeepClip) -> bytes:
    """What was given, for later."""
    return pack(vars(keep))


def block_steps(plan: str, official_denoise: bool) -> list[int]:
    """Steps of each block in an executed plan, without the additional calls."""
    found, count = [], 0
    for reveals in Plan.parse(plan).reveals:
        count += 1
        if reveals:
            found.append(count - official_denoise)
            count = 0
    return found


def _usage(job: Job) -> VideoUsage:
    request = job.ticket.request
    given = sum(len(one) for one in (request.past, request.future) if one is not None)
    return VideoUsage(input_frames=given, output_frames=request.frames, total_frames=given + request.frames)


def _described(job: Job) -> dict[str, Any]:
    output = cast(VideoOutput, job.output)
    keep = output.keep
    return {
        "output_format": output.format,
        "quality": output.quality,
        "size": output.size,
        "fps": output.fps,
        "frames": output.frames,
        "before": 0 if keep is None else len(keep.before),
        "behind": 0 if keep is None else len(keep.behind),
        "seconds": output.seconds,
    }


def _history(job: Job, made: Made) -> dict[str, Any]:
    report, sampling = made.report, job.ticket.request.sampling
    return {
        "id": result_id(job, report.sample),
        "seed": report.seed,
        "task": job.ticket.request.clip_task,
        "plan": report.plan,
        "block_steps": block_steps(report.plan, sampling.final_denoise == "official"),
        "steps": Steps(full=report.steps_full, reuse=report.steps_reuse),
        "shortened": report.shortened,
        "resumed_from_step": report.resumed_from_step,
    }
