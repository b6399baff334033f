"""Uploaded clips: measured before they are decoded, and no further than the limits."""

import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from zipfile import BadZipFile, ZipFile, is_zipfile

import numpy as np

from service.media.uploads import UploadError, read_upload
from service.media.videos import TAGS

PICTURES = (b"\x89PNG", b"\xff\xd8\xff")
CONTAINERS = frozenset({"mov", "mp4", "matroska", "webm", "gif", "avi"})
BROKEN = "not a clip that can be read (MP4, MOV, WebM, MKV, AVI, GIF, a zip of PNGs), or a damaged one"
BYTES_A_PIXEL = 8  # of a PNG, at most


@dataclass(frozen=True)
class ClipLimits:
    """What an upload may be before it is decoded."""

    frames: int
    pixels: int  # of a frame


@dataclass(frozen=True)
class ClipUpload:
    """frames: uint8 [n, H, W, C]; fps: None of stills."""

    frames: np.ndarray
    fps: float | None


def is_picture(file: bytes) -> bool:
    """PNG, JPEG or WebP, by its first bytes."""
    return file.startswith(PICTURES) or (file[:4] == b"RIFF" and file[8:12] == b"WEBP")


def read_clip(file: bytes, channels: int, size: tuple[int, int] | None, limits: ClipLimits) -> ClipUpload:
    """Decode a clip, a zip of PNGs, or a picture as a clip of one frame. With `size` (width, height) no other is
    accepted.

    Raises UploadError.
    """
    if is_picture(file):
        pixels = read_upload(file, channels, limits.pixels, size).pixels
        return ClipUpload(pixels[None], None)
    if is_zipfile(BytesIO(file)):
        return _stills(file, channels, size, limits)
    import av

    try:
        with av.open(BytesIO(file), "r", metadata_errors="replace") as container:
            return _read(container, channels, size, limits)
    except UploadError:
        raise
    except (av.error.FFmpegError, ValueError, OverflowError, MemoryError, EOFError) as error:
        raise UploadError(BROKEN, "invalid_video") from error


def _stills(file: bytes, channels: int, size: tuple[int, int] | None, limits: ClipLimits) -> ClipUpload:
    try:
        with ZipFile(BytesIO(file)) as folder:
            parts = sorted(
                (one for one in folder.infolist() if one.filename.endswith(".png")), key=lambda one: one.filename
            )
            if len(parts) > limits.frames:
                raise _too_long(len(parts), limits)
            if not parts:
                raise UploadError("there is no PNG in the zip", "invalid_video")
            if any(one.file_size > BYTES_A_PIXEL * limits.pixels for one in parts):
                raise UploadError("a PNG of the zip has too many pixels", "video_too_large", 413)
            frames = [read_upload(folder.read(one), channels, limits.pixels, size).pixels for one in parts]
    except (BadZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError) as error:
        raise UploadError(BROKEN, "invalid_video") from error
    if len({frame.shape for frame in frames}) > 1:
        raise UploadError("the frames are of different sizes", "invalid_video")
    return ClipUpload(np.stack(frames), None)


def film_comment(file: bytes) -> str:
    """What `encode_video` wrote as tags of a film or a zip; nothing for files without, or of another kind."""
    if is_zipfile(BytesIO(file)):
        with ZipFile(BytesIO(file)) as folder:
            return folder.read(TAGS).decode() if TAGS in folder.namelist() else ""
    import av

    try:
        with av.open(BytesIO(file), "r", metadata_errors="replace") as container:
            found = {name.lower(): value for name, value in container.metadata.items()}
            return found.get("comment", "")
    except (av.error.FFmpegError, ValueError):
        return ""


def _read(container: Any, channels: int, size: tuple[int, int] | None, limits: ClipLimits) -> ClipUpload:
    if not CONTAINERS & set(container.format.name.split(",")):
        raise UploadError(BROKEN, "invalid_video")
    if not container.streams.video:
        raise UploadError("there are no pictures in the file", "invalid_video")
    stream = container.streams.video[0]
    stream.thread_type = "NONE"
    _check_size((stream.codec_context.width, stream.codec_context.height), size, limits)
    if stream.frames > limits.frames:
        raise _too_long(stream.frames, limits)
    frames: list[np.ndarray] = []
    for frame in container.decode(stream):
        _check_size((frame.width, frame.height), size, limits)
        if len(frames) == limits.frames:
            raise _too_long(None, limits)
        frames.append(_channels(frame.to_ndarray(format="rgb24"), channels))
    if not frames:
        raise UploadError("there is no frame in the file", "invalid_video")
    if stream.frames > len(frames):
        raise UploadError("the clip is truncated or damaged", "invalid_video")
    if len({frame.shape for frame in frames}) > 1:
        raise UploadError("the frames are of different sizes", "invalid_video")
    fps = stream.average_rate or stream.guessed_rate
    return ClipUpload(np.stack(frames), float(fps) if fps else None)


def _channels(rgb: np.ndarray, channels: int) -> np.ndarray:
    """ITU-R 601 luma in 1/65536, as of pictures."""
    if channels == 3:
        return rgb
    weights = np.array([19595, 38470, 7471], np.uint32)
    return ((rgb @ weights + 0x8000) >> 16).astype(np.uint8)[:, :, None]


def _check_size(found: tuple[int, int], size: tuple[int, int] | None, limits: ClipLimits) -> None:
    if not all(found):
        raise UploadError(BROKEN, "invalid_video")
    if found[0] * found[1] > limits.pixels:
        raise UploadError("the frames of {}x{} have too many pixels".format(*found), "video_too_large", 413)
    if size is not None and found != size:
        raise UploadError("the clip is {}x{}, this model takes {}x{}".format(*found, *size), "video_size_mismatch")


def _too_long(frames: int | None, limits: ClipLimits) -> UploadError:
    much = "more" if frames is None else f"{frames} frames, more"
    return UploadError(f"the clip has {much} than {limits.frames} frames", "video_too_long", 413)
