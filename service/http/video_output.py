"""How finished videos leave: format, frame rate and size, and the frames that were given."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from models.spec import DecoderSpec, Footage
from service.http.errors import invalid
from service.http.sampling import quality_of
from service.http.video_requests import VideoOptions
from service.media.composite import composite
from service.media.videos import VideoFormat, encode_video

LARGEST_SIDE = 2048


@dataclass(frozen=True)
class KeepClip:
    """What was given: frames uint8 [n, H, W, C] that come `before` and `behind` those that are made, and of an edit the
    `original` ones in their place, with the `mask` [n, H, W] of what is made anew.
    """

    before: np.ndarray
    behind: np.ndarray
    original: np.ndarray | None = None
    mask: np.ndarray | None = None
    last_first: bool = False  # unfinished, there are the last ones


@dataclass(frozen=True)
class VideoOutput:
    """frames: of the whole file; scale: every pixel is repeated so many times along both sides. The client's words, and
    the video whose request was repeated, are for its books.
    """

    format: VideoFormat
    fps: float
    width: int
    height: int
    scale: int
    frames: int
    quality: str
    prompt: str | None = None
    remixed_from: str | None = None
    keep: KeepClip | None = None

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def seconds(self) -> str:
        return f"{self.frames / self.fps:.6g}"

    def keeping(self, keep: KeepClip) -> "VideoOutput":
        return replace(self, keep=keep)

    def media(self, made: np.ndarray) -> np.ndarray:
        """From the decoder's frames, or the first of them, to the delivered ones, uint8 [N, H, W, C]."""
        keep = self.keep
        if keep is None:
            return made
        if keep.original is not None and keep.mask is not None:
            there = slice(-len(made), None) if keep.last_first else slice(len(made))
            parts = zip(keep.original[there], made, keep.mask[there], strict=True)
            made = np.stack([composite(original, frame, mask) for original, frame, mask in parts])
        return np.concatenate([keep.before, made, keep.behind])

    def file(self, frames: np.ndarray, tags: Mapping[str, object] | None) -> bytes:
        return encode_video(scaled(frames, self.scale), self.fps, self.format, tags)


def scaled(frames: np.ndarray, scale: int) -> np.ndarray:
    return frames if scale == 1 else frames.repeat(scale, axis=1).repeat(scale, axis=2)


def output_for(spec: DecoderSpec, options: VideoOptions, steps: int, frames: int, fps: float) -> VideoOutput:
    """Raises ApiError 400 with the field."""
    if (options.n or 1) > 1:
        raise invalid("A video is one: n is 1.", "n")
    width, height = spec.size
    scale = scale_for(spec.id, spec.size, options.size or "auto")
    return VideoOutput(
        format=options.output_format or "mp4",
        fps=fps,
        width=width * scale,
        height=height * scale,
        scale=scale,
        frames=frames,
        quality=quality_of(spec, steps),
        prompt=options.prompt,
    )


def scale_for(model: str, own: tuple[int, int], size: str) -> int:
    """How often pixels are repeated along both sides. Raises ApiError 400 for what is no multiple of the `own` size."""
    width, height = own
    if size == "auto":
        return 1
    asked = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size)
    scale = int(asked[1]) // width if asked else 0
    if asked is None or scale < 1 or (int(asked[1]), int(asked[2])) != (scale * width, scale * height):
        raise invalid(f"{model} makes videos of size auto, {width}x{height} or a whole multiple of it.", "size")
    if max(width, height) * scale > LARGEST_SIDE:
        raise invalid(f"Sides are at most {LARGEST_SIDE}.", "size")
    return scale


def footage_of(spec: DecoderSpec) -> Footage:
    """What a video model makes."""
    assert spec.footage is not None
    return spec.footage
