"""Response and event objects for sounds."""

import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, cast

import numpy as np

from models.decoder import Artifact
from models.decoding.plan import Plan
from service.engine.events import Done, Event, Preview, Progress, Started, Waiting
from service.http.audio_output import AudioOutput, KeepSound, sound_of
from service.http.audio_responses import (
    AudioResponse,
    AudioUsage,
    CompletedAudio,
    PartialAudio,
    QueuedAudio,
    SoundMade,
    StartedAudio,
    SteppedAudio,
)
from service.http.making import Job, Made, b64, result_id
from service.http.responses import Steps, Timings
from service.http.services import Services
from service.media.sounds import SOUND_TYPES
from service.packed import pack, unpack


@dataclass(frozen=True)
class AudioMedium:
    kind: str = "audio"
    prefix: str = "aud"
    noun: str = "sound"

    @property
    def types(self) -> Mapping[str, str]:
        return cast(Mapping[str, str], SOUND_TYPES)

    def whole(self, job: Job, made: list[Made], done: Done, seconds: float) -> AudioResponse:
        return AudioResponse(
            created=int(time.time()),
            data=[SoundMade(b64_json=b64(one), url=one.url, **_history(job, one)) for one in made],
            usage=_usage(job, sum(one.report.tokens for one in made)),
            safety_identifier=job.safety_identifier,
            seed=job.ticket.request.seed,
            model=job.spec.id,
            checkpoint=job.spec.checkpoint,
            fingerprint=made[0].report.fingerprint,
            timings=Timings.of(done, seconds),
            **_described(job),
        )

    def news(self, job: Job, event: Event) -> QueuedAudio | StartedAudio | SteppedAudio | None:
        name: Any = job.name
        if not job.ticket.progress:
            return None
        match event:
            case Waiting():
                return QueuedAudio(type=f"{name}.queued", place=event.place)
            case Started():
                return StartedAudio(type=f"{name}.started", n=event.samples, seed=job.ticket.request.seed)
            case Progress():
                return SteppedAudio(
                    type=f"{name}.step",
                    audio_index=event.sample,
                    step=event.step,
                    steps_total=event.steps_total,
                    revealed=event.revealed,
                )
            case _:
                return None

    def partial(self, job: Job, event: Preview, file: bytes) -> PartialAudio:
        name: Any = job.name
        return PartialAudio(
            type=f"{name}.partial_audio",
            b64_json=b64encode(file).decode(),
            created_at=int(time.time()),
            audio_index=event.sample,
            partial_audio_index=event.index,
            step=event.step,
            steps_total=event.steps_total,
            revealed=event.revealed,
            **_described(job),
            **(self.detail(event.artifact) if job.ticket.progress else {}),
        )

    def completed(self, job: Job, made: Made) -> CompletedAudio:
        name: Any = job.name
        return CompletedAudio(
            type=f"{name}.completed",
            b64_json=b64encode(made.file or b"").decode(),
            created_at=int(time.time()),
            audio_index=made.report.sample,
            usage=_usage(job, made.report.tokens),
            model=job.spec.id,
            checkpoint=job.spec.checkpoint,
            fingerprint=made.report.fingerprint,
            **_history(job, made),
            **_described(job),
            **(made.detail if job.ticket.progress else {}),
        )

    def detail(self, artifact: Artifact) -> dict[str, Any]:
        grid = {name: artifact.extra.get(name) for name in ("known", "order")}
        return {name: value.tolist() for name, value in grid.items() if isinstance(value, np.ndarray)}

    def output_note(self, output: AudioOutput) -> dict[str, Any]:
        return {name: value for name, value in vars(output).items() if name != "keep"}

    def read_output(self, note: dict[str, Any]) -> AudioOutput:
        return AudioOutput(**note)

    async def kept(self, services: Services, job: Job, source: bytes) -> AudioOutput:
        return cast(AudioOutput, job.output).keeping(KeepSound(**unpack(source)))


AUDIO = AudioMedium()


def packed_keep(keep: KeepSound) -> bytes:
    """What an edit keeps, for later."""
    return pack(vars(keep))


def _usage(job: Job, decoded: int) -> AudioUsage:
    """A token for each term or word of the prompt, those of a given sound, and every one that was decoded."""
    request = job.ticket.request
    condition = request.condition
    text = len(condition.split()) if isinstance(condition, str) else len(condition) if condition else 0  # type: ignore[arg-type]
    given = 0 if request.waveform is None else job.spec.grid[0] * -(-len(request.waveform) // sound_of(job.spec).hop)
    return AudioUsage(input_tokens=text + given, output_tokens=decoded, total_tokens=text + given + decoded)


def codebook_steps(plan: str, codebooks: int) -> list[int]:
    """Steps of each codebook in an executed plan, whose codebooks decide equally much."""
    reveals = Plan.parse(plan).reveals
    each = sum(reveals) // codebooks
    before = [at // each for at in accumulate(reveals[:-1], initial=0)]  # the codebook that a step works on
    return [before.count(codebook) for codebook in range(codebooks)]


def _described(job: Job) -> dict[str, Any]:
    output = cast(AudioOutput, job.output)
    return {
        "output_format": output.format,
        "quality": output.quality,
        "duration": round(output.seconds, 6),
        "sample_rate": output.rate,
        "channels": output.channels,
    }


def _history(job: Job, made: Made) -> dict[str, Any]:
    report = made.report
    return {
        "revised_prompt": job.understood,
        "id": result_id(job, report.sample),
        "seed": report.seed,
        "sample": report.sample,
        "plan": report.plan,
        "codebook_steps": codebook_steps(report.plan, job.spec.grid[0]),
        "steps": Steps(full=report.steps_full, reuse=report.steps_reuse),
        "shortened": report.shortened,
        "resumed_from_step": report.resumed_from_step,
    }
