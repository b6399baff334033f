"""From a parsed request to a job for the dispatcher: model, prompt, sampling, length, sound and mask, all checked."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256

from models.catalogue import Entry
from models.decoder import GenerationRequest
from models.family import Understood
from models.spec import Sampling, Sound, Task
from service.http.audio_inputs import SoundSource, mask_for, source_for
from service.http.audio_medium import AUDIO, packed_keep
from service.http.audio_output import AudioOutput, KeepSound, length_for, output_for, sound_of
from service.http.audio_requests import AudioEditFields, AudioGenerationRequest, AudioOptions
from service.http.errors import invalid
from service.http.makers import Maker
from service.http.making import Job
from service.http.notes import note_of
from service.http.sampling import sampling_for

CROSS_FADE_MS = 20.0
NAMES: Mapping[Task, str] = {"generate": "audio_generation", "edit": "audio_edit"}


@dataclass(frozen=True)
class AudioMaker(Maker):
    """Sounds."""

    def generation(self, body: AudioGenerationRequest) -> Job:
        entry, sound = self._entry(body.model)
        sampling = sampling_for(entry.spec, body)
        frames, length = length_for(entry.spec, sampling, body.duration, bool(body.loop))
        understood = self.understand(entry, body.prompt)
        request = self._request("generate", entry, body, understood, sampling, frames)
        output = self._output(entry, sound, body, sampling, length)
        return self._job(entry, body, request, output, understood)

    async def edit(self, body: AudioEditFields, files: list[bytes]) -> Job:
        result = await self.result(AUDIO.prefix, body.audio_id, "audio_id", "sound")
        entry, sound = self._entry(body.model or (result.model if result else None))
        understood, sampling = self.understand(entry, body.prompt), sampling_for(entry.spec, body)
        self.count("edit", entry, body)  # complain about words before decoding sound
        self._output(entry, sound, body, sampling, 0)
        source = await source_for(self.services, entry.spec, sound, files, result)
        length = _edit_length(entry, sound, len(source.wave), body.duration, bool(body.loop))
        mask = mask_for(body.ranges, sound.rate, len(source.wave), length)
        request = replace(
            self._request("edit", entry, body, understood, sampling, -(-length // sound.hop)),
            waveform=source.wave,
            mask=mask,
            tokens=source.tokens,
        )
        fade = CROSS_FADE_MS if body.cross_fade_ms is None else body.cross_fade_ms
        keep = KeepSound(source.wave, mask, round(fade / 1000 * sound.rate), bool(body.loop))
        output = replace(self._output(entry, sound, body, sampling, length), depth=source.depth, keep=keep)
        return self._job(entry, body, request, output, understood, source, files)

    def _entry(self, model: str | None) -> tuple[Entry, Sound]:
        entry = self.entry(model, "audio")
        return entry, sound_of(entry.spec)

    def _output(self, entry: Entry, sound: Sound, body: AudioOptions, sampling: Sampling, length: int) -> AudioOutput:
        return output_for(entry.spec, sound, body, sampling.num_inference_steps, length, self.manner.later)

    def _request(
        self, task: Task, entry: Entry, body: AudioOptions, understood: Understood, sampling: Sampling, frames: int
    ) -> GenerationRequest:
        return GenerationRequest(
            task=task,
            condition=understood.condition,
            sampling=sampling,
            seed=self.seed(body),
            n=self.count(task, entry, body),
            frames=frames,
            loop=bool(body.loop),
            partials=self.partials(body, sampling.num_inference_steps),
        )

    def _job(
        self,
        entry: Entry,
        body: AudioOptions,
        request: GenerationRequest,
        output: AudioOutput,
        understood: Understood,
        source: SoundSource | None = None,
        files: list[bytes] | None = None,
    ) -> Job:
        self.note(request, entry.spec.id)
        digest = self.manner.digest(
            [request.task, request.condition, request.n, request.frames, request.loop, body.seed],
            asdict(request.sampling),
            [entry.spec.id, output.format, output.length],
            [getattr(body, name, None) for name in ("audio_id", "ranges", "cross_fade_ms")],
            [sha256(file).digest() for file in files or []],
        )
        keeps = self.manner.kept and output.keep is not None
        job = Job(
            medium=AUDIO,
            ticket=self.ticket(request, entry.spec.id, body),
            spec=entry.spec,
            output=output,
            understood=understood.revised or None,
            safety_identifier=body.safety_identifier or body.user,
            name=NAMES[request.task],
            base=self.manner.base,
            delivery=body.response_format or ("url" if self.manner.later else "b64_json"),
            terms=self.terms(body, digest),
            source=packed_keep(output.keep) if keeps and output.keep is not None else None,
        )
        return replace(job, terms=replace(job.terms, note=note_of(job))) if job.terms.kept else job


def _edit_length(entry: Entry, sound: Sound, given: int, duration: float | None, loop: bool) -> int:
    """Samples in all, whole tokens of a loop. Raises ApiError 400."""
    if given < sound.least_seconds * sound.rate:
        raise invalid(f"audio: {given / sound.rate:g} s are less than {sound.least_seconds:g} s.", "audio")
    if duration is None:
        return _whole(given, sound) if loop else given
    if duration > sound.most_seconds:
        raise invalid(f"{entry.spec.id} makes at most {sound.most_seconds:g} s, not {duration:g}.", "duration")
    length = round(duration * sound.rate)
    if length < given:
        raise invalid(f"The sound has {given / sound.rate:g} s, more than {duration:g}.", "duration")
    return min(_whole(length, sound), sound.most * sound.hop) if loop else length


def _whole(length: int, sound: Sound) -> int:
    return -(-length // sound.hop) * sound.hop
