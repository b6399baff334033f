"""How finished sounds leave: length, file format, and the kept samples of an edit."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from models.spec import DecoderSpec, Sampling, Sound
from service.http.audio_requests import AudioOptions
from service.http.errors import invalid
from service.http.sampling import quality_of
from service.media.patching import patched
from service.media.sounds import Depth, SoundFormat, encode_sound


@dataclass(frozen=True)
class KeepSound:
    """What an edit leaves alone. wave: float32 [N, C] of the upload; mask: bool [length], true where made anew or
    behind the upload's end; fade: samples of a cross-fade inside of what is made; loop: its end leads to its beginning.
    """

    wave: np.ndarray
    mask: np.ndarray
    fade: int
    loop: bool = False


@dataclass(frozen=True)
class AudioOutput:
    """length: samples that are delivered."""

    format: SoundFormat
    rate: int
    channels: int
    length: int
    quality: str
    depth: Depth = "PCM_16"
    keep: KeepSound | None = None

    @property
    def seconds(self) -> float:
        return self.length / self.rate

    def keeping(self, keep: KeepSound) -> "AudioOutput":
        return replace(self, keep=keep)

    def media(self, made: np.ndarray) -> np.ndarray:
        """From the decoder's samples to the delivered ones, float32 [N, C]."""
        made = made[: self.length].clip(-1.0, 1.0)
        if self.keep is None:
            return made
        return patched(self.keep.wave, made, self.keep.mask, self.keep.fade, self.keep.loop)

    def file(self, media: np.ndarray, tags: Mapping[str, object] | None) -> bytes:
        return encode_sound(media, self.rate, self.format, self.depth, tags)


def output_for(
    spec: DecoderSpec, sound: Sound, options: AudioOptions, steps: int, length: int, later: bool
) -> AudioOutput:
    """Raises ApiError 400 with the field."""
    if options.response_format == "url" and options.stream and not later:
        raise invalid("A stream carries its sounds as b64_json.", "response_format")
    if options.response_format == "file":
        if options.stream or later:
            raise invalid("A file is an answer of its own: neither of a stream nor of a job.", "response_format")
        if (options.n or 1) > 1:
            raise invalid("response_format=file answers with one sound: n is 1.", "response_format")
    if (options.partial_audio or 0) > 0 and not options.stream and not later:
        raise invalid("partial_audio needs stream=true.", "partial_audio")
    return AudioOutput(options.output_format or "wav", sound.rate, sound.channels, length, quality_of(spec, steps))


def length_for(spec: DecoderSpec, sampling: Sampling, duration: float | None, loop: bool) -> tuple[int, int]:
    """Tokens along time, and samples, of a generation. A loop has whole tokens, or its end would be cut off. Raises
    ApiError 400.
    """
    sound = sound_of(spec)
    if duration is not None and not sound.least_seconds <= duration <= sound.most_seconds:
        raise invalid(
            f"{spec.id} makes {sound.least_seconds:g} to {sound.most_seconds:g} s, not {duration:g}.", "duration"
        )
    frames = sound.frames(duration, sampling.span_arrangement)
    most = frames * sound.hop
    return frames, most if duration is None or loop else min(most, round(duration * sound.rate))


def sound_of(spec: DecoderSpec) -> Sound:
    """What an audio model makes."""
    assert spec.sound is not None
    return spec.sound
