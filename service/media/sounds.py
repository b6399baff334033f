"""Audio samples to files and back. The same samples and tags give the same bytes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import numpy as np

from service.media.uploads import UploadError

SoundFormat = Literal["wav", "flac", "mp3", "opus", "pcm"]
SOUND_TYPES: Mapping[SoundFormat, str] = {
    "wav": "audio/wav",
    "flac": "audio/flac",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "pcm": "audio/pcm",
}
Depth = Literal["PCM_16", "PCM_24", "FLOAT"]
DEPTHS: Mapping[str, Depth] = {"PCM_24": "PCM_24", "PCM_32": "FLOAT", "FLOAT": "FLOAT", "DOUBLE": "FLOAT"}
CONTAINERS: Mapping[str, tuple[str, str]] = {"mp3": ("MP3", "MPEG_LAYER_III"), "opus": ("OGG", "OPUS")}
READ = ("WAV", "WAVEX", "FLAC", "OGG", "MP3")
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
SCALE = 1 << 15
STREAMED = 0xFFFFFFFF


def encode_sound(
    wave: np.ndarray,
    rate: int,
    format: SoundFormat = "wav",
    depth: Depth = "PCM_16",
    tags: Mapping[str, object] | None = None,
) -> bytes:
    """float32 [N, C] in [-1, 1]; what is louder is clipped, but in a FLOAT wav. `depth` is that of wav and flac, which
    has no FLOAT; pcm is 16 bits, little-endian; `tags` go into wav, flac and opus files.

    Opus at another rate than one of its own is resampled to 48 kHz.
    """
    import soundfile

    if (format, depth) != ("wav", "FLOAT"):
        wave = wave.clip(-1.0, 1.0)
    if format == "pcm":
        return pcm(wave).tobytes()
    if format == "opus" and rate not in OPUS_RATES:
        wave, rate = resample(wave, rate, OPUS_RATES[-1]), OPUS_RATES[-1]
    if depth == "FLOAT" and format == "flac":
        depth = "PCM_24"  # the most that it has
    container, subtype = CONTAINERS.get(format, (format.upper(), depth))
    values: Any = pcm(wave) if subtype == "PCM_16" else wave
    out = BytesIO()
    with soundfile.SoundFile(out, "w", rate, wave.shape[1], subtype, format=container) as file:
        if tags is not None and format != "mp3":
            file.comment = json.dumps(tags, sort_keys=True)
        file.write(values)
    content = out.getvalue()
    return numbered(content) if format == "opus" else content


def pcm(wave: np.ndarray) -> np.ndarray:
    """[-1, 1] -> int16: what came from 16 bits becomes them again."""
    return np.rint(wave.astype(np.float64) * SCALE).clip(-SCALE, SCALE - 1).astype("<i2")


def resample(wave: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """float32 [N, C] at another rate."""
    import soxr  # type: ignore[import-untyped]

    made: np.ndarray = soxr.resample(wave, rate, wanted, quality="VHQ")
    return made.astype(np.float32).reshape(-1, wave.shape[1])


@dataclass(frozen=True)
class SoundUpload:
    """wave: float32 [N, C] at the rate and with the channels that were asked for; depth: that of the file."""

    wave: np.ndarray
    depth: Depth


@dataclass(frozen=True)
class SoundLimits:
    """What an upload may be before it is decoded."""

    seconds: float
    channels: int = 8
    rates: tuple[int, int] = (4000, 192_000)


def read_sound(file: bytes, rate: int, channels: int, limits: SoundLimits) -> SoundUpload:
    """Decode a WAV, FLAC, OGG or MP3 file. Raises UploadError for anything else, and beyond the limits."""
    import soundfile

    try:
        with soundfile.SoundFile(BytesIO(file)) as sound:
            if sound.format not in READ:
                raise UploadError("not a WAV, FLAC, OGG or MP3 file", "invalid_audio")
            _check(sound, limits, sound.frames)
            found, subtype, announced = sound.samplerate, sound.subtype, sound.frames
            most = int(limits.seconds * found) + 1  # headers may say less than there is
            wave = sound.read(most, dtype="float32", always_2d=True)
            _check(sound, limits, len(wave))
    except (soundfile.LibsndfileError, RuntimeError, ValueError, TypeError) as error:
        if isinstance(error, UploadError):
            raise
        raise UploadError("not a WAV, FLAC, OGG or MP3 file, or a damaged one", "invalid_audio") from None
    if not len(wave):
        raise UploadError("there is no sound in the file", "invalid_audio")
    if len(wave) < announced or cut_short(file):
        raise UploadError("the file is truncated or damaged", "invalid_audio")
    if not np.isfinite(wave).all():
        raise UploadError("the file has samples that are not numbers", "invalid_audio")
    wave = mixed(wave, channels)
    if found != rate:
        wave = resample(wave, found, rate)
    return SoundUpload(wave, DEPTHS.get(subtype, "PCM_16"))


def sound_comment(file: bytes) -> str:
    """What `encode_sound` wrote as tags; nothing for files without, or of another kind."""
    import soundfile

    try:
        with soundfile.SoundFile(BytesIO(file)) as sound:
            return str(sound.comment)
    except (soundfile.LibsndfileError, TypeError):
        return ""


def sound_length(file: bytes) -> int:
    """Samples of a file that `encode_sound` wrote."""
    import soundfile

    with soundfile.SoundFile(BytesIO(file)) as sound:
        return int(sound.frames)


def cut_short(file: bytes) -> bool:
    """Whether a WAV file holds less than it announces, which decoders pass over. Streams announce all ones."""
    if file[:4] != b"RIFF" or file[8:12] != b"WAVE":
        return False
    at = 12
    while at + 8 <= len(file):
        size = int.from_bytes(file[at + 4 : at + 8], "little")
        if file[at : at + 4] == b"data":
            return size != STREAMED and at + 8 + size > len(file)
        at += 8 + size + size % 2
    return True


def mixed(wave: np.ndarray, channels: int) -> np.ndarray:
    """[N, C] -> [N, channels]: to one by the mean, from one by copies, else the first ones."""
    if wave.shape[1] == channels:
        return wave
    if channels == 1:
        return np.asarray(wave.mean(axis=1, keepdims=True, dtype=np.float32))
    if wave.shape[1] == 1:
        return np.repeat(wave, channels, axis=1)
    return wave[:, :channels] if wave.shape[1] > channels else np.repeat(wave[:, :1], channels, axis=1)


def _check(sound: Any, limits: SoundLimits, frames: int) -> None:
    """What the header says before the samples are decoded, then how many came."""
    low, high = limits.rates
    if not low <= sound.samplerate <= high:
        raise UploadError(f"{sound.samplerate} samples a second are outside of {low} to {high}", "invalid_audio")
    if sound.channels > limits.channels:
        raise UploadError(f"{sound.channels} channels are more than {limits.channels}", "invalid_audio")
    if frames > limits.seconds * sound.samplerate:
        seconds = frames / sound.samplerate
        longest = f"the {limits.seconds:g} s of this model"
        raise UploadError(f"{seconds:.1f} s are more than {longest}", "audio_too_long", 413)


def numbered(content: bytes, serial: int = 1) -> bytes:
    """An OGG file whose stream has the number `serial`: encoders draw one at random, which says nothing."""
    pages = bytearray(content)
    at = 0
    while at < len(pages):
        segments = pages[at + 26]
        end = at + 27 + segments + sum(pages[at + 27 : at + 27 + segments])
        pages[at + 14 : at + 18] = serial.to_bytes(4, "little")
        pages[at + 22 : at + 26] = bytes(4)
        pages[at + 22 : at + 26] = _checksum(bytes(pages[at:end])).to_bytes(4, "little")
        at = end
    return bytes(pages)


def _checksum(page: bytes) -> int:
    """The CRC of an OGG page (RFC 3533): 0x04c11db7, most significant bit first, from 0."""
    value = 0
    for byte in page:
        value = (value << 8) & 0xFFFFFFFF ^ TABLE[value >> 24 ^ byte]
    return value


def _table() -> tuple[int, ...]:
    found = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
        found.append(value & 0xFFFFFFFF)
    return tuple(found)


TABLE = _table()
