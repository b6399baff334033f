"""Frames to files. The same frames and tags give the same bytes: one thread, and nothing about the moment goes in."""

import json
from collections.abc import Mapping
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Literal
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from PIL import Image

from service.media.encode import encode

VideoFormat = Literal["mp4", "webm", "gif", "mkv", "zip"]
VIDEO_TYPES: Mapping[VideoFormat, str] = {
    "mp4": "video/mp4",
    "webm": "video/webm",
    "gif": "image/gif",
    "mkv": "video/x-matroska",
    "zip": "application/zip",
}
CODECS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "mp4": ("libx264", {"crf": "10", "preset": "medium"}),  # a GPL part of FFmpeg's wheels
    "webm": ("libvpx-vp9", {"crf": "12", "b": "0", "deadline": "good", "row-mt": "0"}),
    "mkv": ("ffv1", {"level": "3"}),
}
MUXING: Mapping[str, Mapping[str, str]] = {"mp4": {"movflags": "+faststart"}}
CLOCK = 1000  # frame rates are multiples of 1 / CLOCK
EPOCH = (1980, 1, 1, 0, 0, 0)
SHEET_COLUMNS = 5
GIF_UNIT = 100  # delays of a GIF are hundredths of a second
TAGS = "tags.json"


def encode_video(
    frames: np.ndarray, fps: float, format: VideoFormat = "mp4", tags: Mapping[str, object] | None = None
) -> bytes:
    """uint8 [N, H, W, C] with C 1 or 3. mkv (FFV1) and zip (a PNG per frame) lose nothing; tags go into all."""
    match format:
        case "gif":
            return _gif(frames, fps, tags)
        case "zip":
            return _zip(frames, tags)
        case _:
            return _film(frames, fps, format, tags)


def thumbnail(frames: np.ndarray) -> bytes:
    """The middle frame as WebP."""
    return encode(frames[len(frames) // 2], "webp")


def sheet(frames: np.ndarray) -> np.ndarray:
    """Frames side by side, in rows of five, from the first on: uint8 [H', W', C]."""
    count, height, width, channels = frames.shape
    columns = min(count, SHEET_COLUMNS)
    rows = -(-count // columns)
    cells = np.zeros((rows * columns, height, width, channels), np.uint8)
    cells[:count] = frames
    turned = cells.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return turned.reshape(rows * height, columns * width, channels)


def rate_of(fps: float) -> Fraction:
    return Fraction(round(fps * CLOCK), CLOCK)


def _film(frames: np.ndarray, fps: float, format: str, tags: Mapping[str, object] | None) -> bytes:
    import av

    muxing = {"fflags": "+bitexact", **MUXING.get(format, {})}
    with NamedTemporaryFile(suffix=f".{format}") as out:  # what is put first is known last
        _write(av.open(out.name, "w", options=muxing), frames, rate_of(fps), format, tags)
        return Path(out.name).read_bytes()


def _write(film: Any, frames: np.ndarray, rate: Fraction, format: str, tags: Mapping[str, object] | None) -> None:
    import av

    codec, options = CODECS[format]
    height, width, channels = frames.shape[1:]
    with film as container:
        if tags is not None:
            container.metadata["comment"] = json.dumps(tags, sort_keys=True)
        stream: Any = container.add_stream(codec, rate=rate, options=dict(options))
        stream.width, stream.height = width, height
        stream.pix_fmt = _pixels(format, width, height, channels)
        stream.codec_context.thread_count = 1
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        for frame in frames:
            container.mux(stream.encode(_picture(frame, stream.pix_fmt)))
        container.mux(stream.encode())


def _pixels(format: str, width: int, height: int, channels: int) -> str:
    """What every player reads; odd sides have no halved colours."""
    if format == "mkv":
        return "gray" if channels == 1 else "bgr0"
    return "yuv444p" if width % 2 or height % 2 else "yuv420p"


def _picture(frame: np.ndarray, pixels: str) -> Any:
    import av

    if pixels == "gray":
        return av.VideoFrame.from_ndarray(frame[:, :, 0], format="gray")
    rgb = np.repeat(frame, 3, axis=2) if frame.shape[2] == 1 else frame
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(format=pixels)


def _gif(frames: np.ndarray, fps: float, tags: Mapping[str, object] | None) -> bytes:
    pictures = [Image.fromarray(frame[:, :, 0] if frame.shape[2] == 1 else frame) for frame in frames]
    ends = [round(GIF_UNIT * (at + 1) / fps) for at in range(len(pictures))]
    delays = [10 * max(2, end - start) for start, end in zip([0, *ends], ends, strict=False)]
    out = BytesIO()
    comment = {} if tags is None else {"comment": json.dumps(tags, sort_keys=True).encode()}
    pictures[0].save(
        out, "GIF", save_all=True, append_images=pictures[1:], duration=delays, loop=0, disposal=1, **comment
    )
    return out.getvalue()


def _zip(frames: np.ndarray, tags: Mapping[str, object] | None) -> bytes:
    out = BytesIO()
    with ZipFile(out, "w", ZIP_STORED) as folder:
        for at, frame in enumerate(frames):
            folder.writestr(ZipInfo(f"{at:04}.png", EPOCH), encode(frame))
        if tags is not None:
            folder.writestr(ZipInfo(TAGS, EPOCH), json.dumps(tags, sort_keys=True))
    return out.getvalue()
