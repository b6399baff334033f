"""Clips, stills and masks of a request: uploaded, or named by `video_id`; and what of a clip an edit makes anew."""

from dataclasses import dataclass

import numpy as np

from models.spec import ClipTask, DecoderSpec
from service.http.errors import ApiError, invalid
from service.http.results import Result
from service.http.services import Services
from service.http.video_output import footage_of
from service.media.films import ClipLimits, ClipUpload, is_picture, read_clip
from service.media.uploads import UploadError, read_upload

MOST_RANGES = 64
WHITE = 128  # of a mask clip, from which on a pixel is made anew


@dataclass(frozen=True)
class Clip:
    """frames: uint8 [n, H, W, C] at the model's size; fps: None of stills."""

    frames: np.ndarray
    fps: float | None = None


@dataclass(frozen=True)
class Cut:
    """The frames `begin` to `end` of a clip are made as `task`, those around them are shown to the model."""

    task: ClipTask
    begin: int
    end: int


async def clip_for(services: Services, spec: DecoderSpec, files: list[bytes], param: str) -> Clip | None:
    """A clip, or stills in their order; None of nothing. Raises ApiError with the field."""
    if not files:
        return None
    if len(files) > 1 and not all(map(is_picture, files)):
        raise invalid("One clip, or several pictures.", param)
    limits = ClipLimits(footage_of(spec).most, services.settings.max_pixels)
    channels = footage_of(spec).channels
    found: list[ClipUpload] = []
    for file in files:
        try:
            found.append(await services.pool.run(read_clip, file, channels, spec.size, limits))
        except UploadError as error:
            raise ApiError(error.status, f"{param}: {error}.", error.code, param) from None
    return Clip(np.concatenate([one.frames for one in found]), found[0].fps)


def clip_of(spec: DecoderSpec, result: Result) -> Clip:
    """Raises ApiError where it is of another size."""
    frames = result.media
    if frames.shape[1:] != (spec.size[1], spec.size[0], footage_of(spec).channels):
        raise invalid(f"That video is not of {spec.id}'s size.", "video_id", "video_size_mismatch")
    return Clip(frames, float(result.output["fps"]))


async def mask_for(services: Services, file: bytes | None, ranges: str | None, frames: np.ndarray) -> np.ndarray:
    """bool [n, H, W]: true where the frames [n, H, W, C] are made anew. A picture is for all frames, or for those in
    `ranges`: its transparent pixels are made anew; a clip is for each: its bright ones are. Raises ApiError.
    """
    count, height, width, _ = frames.shape
    chosen = _chosen(ranges, count)
    if file is None:
        if ranges is None:
            raise invalid("Nothing is to be made: give a mask or ranges.", "mask", "missing_required_parameter")
        drawn = np.ones((count, height, width), bool)
    else:
        try:
            drawn = await services.pool.run(_drawn, file, count, (width, height), services.settings.max_pixels)
        except UploadError as error:
            raise ApiError(error.status, f"mask: {error}.", error.code, "mask") from None
    mask: np.ndarray = drawn & chosen[:, None, None]
    if not mask.any():
        raise invalid("The mask leaves nothing to be made.", "mask", "mask_empty")
    return mask


def _drawn(file: bytes, count: int, size: tuple[int, int], max_pixels: int) -> np.ndarray:
    if is_picture(file):
        picture = read_upload(file, 1, max_pixels, size)
        if picture.transparent is None:
            raise UploadError("it has no alpha channel: transparent pixels are made anew", "mask_without_alpha")
        return np.repeat(picture.transparent[None], count, axis=0)
    clip = read_clip(file, 1, size, ClipLimits(count, max_pixels)).frames
    if len(clip) != count:
        raise UploadError(f"it has {len(clip)} frames, the clip {count}", "mask_size_mismatch")
    return np.asarray(clip[..., 0] >= WHITE)


def _chosen(ranges: str | None, count: int) -> np.ndarray:
    """bool [count]; all without ranges. Raises ApiError."""
    chosen = np.full(count, ranges is None)
    parts = [part for part in (ranges or "").replace(" ", "").split(",") if part]
    if len(parts) > MOST_RANGES:
        raise invalid(f"At most {MOST_RANGES} ranges.", "ranges")
    for part in parts:
        first, dash, last = part.partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal() and len(part) < 20):
            raise invalid(f"Ranges read like 5-9,12 in frames, not {part!r}.", "ranges")
        if not int(first) <= int(last) < count:
            raise invalid(f"{part} is not inside of the {count} frames, 0 to {count - 1}.", "ranges")
        chosen[int(first) : int(last) + 1] = True
    return chosen


def cut_for(spec: DecoderSpec, mask: np.ndarray) -> Cut:
    """How the model makes what is true in mask [n, H, W] anew: between frames that it is shown on both sides where
    that is possible, else from those before, from those behind, or from what is known of the frames themselves.

    Raises ApiError where it cannot.
    """
    footage, count = footage_of(spec), len(mask)
    touched = np.flatnonzero(mask.any(axis=(1, 2)))
    first, end = int(touched[0]), int(touched[-1]) + 1
    begin = min(first, count - footage.future - footage.block)
    if "interpolation" in footage.tasks and begin >= footage.past and end <= begin + footage.block:
        return Cut("interpolation", begin, begin + footage.block)
    if "prediction" in footage.tasks and first >= footage.past:
        return Cut("prediction", first, min(count, first + footage.blocks(end - first) * footage.block))
    if "past" in footage.tasks and end + footage.future <= count:
        return Cut("past", max(0, end - footage.blocks(end - first) * footage.block), end)
    if "unconditional" in footage.tasks:
        return Cut("unconditional", 0, count)
    raise invalid(f"{spec.id} needs {footage.past} frames before what is made anew, here are {first}.", "ranges")
