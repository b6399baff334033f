"""The sound of an edit, uploaded or named by `audio_id`, and what of it is to be made anew."""

from dataclasses import dataclass

import numpy as np

from models.spec import DecoderSpec, Sound
from service.http.errors import ApiError, invalid
from service.http.results import Result
from service.http.services import Services
from service.media.sounds import Depth, SoundLimits, SoundUpload, mixed, read_sound
from service.media.uploads import UploadError

MOST_RANGES = 100


@dataclass(frozen=True)
class SoundSource:
    """wave: float32 [N, C] at the model's rate; tokens: int [K, T] of it, where the model made it."""

    wave: np.ndarray
    depth: Depth
    tokens: np.ndarray | None = None


async def source_for(
    services: Services, spec: DecoderSpec, sound: Sound, files: list[bytes], result: Result | None
) -> SoundSource:
    """Decode, check and fit. Raises ApiError 400 or 413 with the field."""
    if result is not None:
        if files:
            raise invalid("Give either audio or audio_id.", "audio_id")
        if result.model != spec.id:
            raise invalid(f"That result is not of {spec.id}.", "audio_id")
        return SoundSource(mixed(result.media, sound.channels), result.output["depth"], result.tokens)
    if not files:
        raise invalid("Missing required parameter: audio.", "audio", "missing_required_parameter")
    if len(files) > 1:
        raise invalid(f"{spec.id} takes one sound, not {len(files)}.", "audio")
    limits = SoundLimits(sound.most_seconds)
    try:
        upload: SoundUpload = await services.pool.run(read_sound, files[0], sound.rate, sound.channels, limits)
    except UploadError as error:
        raise ApiError(error.status, f"audio: {error}.", error.code, "audio") from None
    return SoundSource(upload.wave[: sound.most * sound.hop], upload.depth)  # resampling may have added a sample


def mask_for(ranges: str | None, rate: int, given: int, length: int) -> np.ndarray:
    """bool [length]: true in `ranges` of seconds, and behind the `given` samples. Raises ApiError 400."""
    mask = np.zeros(length, dtype=bool)
    mask[given:] = True
    for begin, end in _ranges(ranges or ""):
        inside = 0 <= begin < end < length  # a large number of samples would be none
        first, last = (round(begin * rate), round(end * rate)) if inside else (0, 0)
        if not 0 <= first < last <= length:
            raise invalid(f"{begin:g}-{end:g} is not inside of the {length / rate:g} s.", "ranges")
        if mask[first : min(last, given)].any():
            raise invalid(f"{begin:g}-{end:g} overlaps another range.", "ranges")
        mask[first:last] = True
    if not mask.any():
        raise invalid("Nothing is to be made: give ranges, or a longer duration.", "ranges")
    return mask


def _ranges(text: str) -> list[tuple[float, float]]:
    parts = [part for part in text.replace(" ", "").split(",") if part]
    if len(parts) > MOST_RANGES:
        raise invalid(f"At most {MOST_RANGES} ranges.", "ranges")
    found = []
    for part in parts:
        begin, dash, end = part.partition("-")
        try:
            if not dash:
                raise ValueError
            found.append((float(begin), float(end)))
        except ValueError:
            raise invalid(f"Ranges read like 1-2,3.5-4 in seconds, not {part!r}.", "ranges") from None
    if any(not np.isfinite(pair).all() for pair in found):
        raise invalid("Ranges are finite.", "ranges")
    return found
