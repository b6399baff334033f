"""Files of a kept video: another format than was asked for, a still, a sheet of its frames."""

from dataclasses import replace
from typing import Literal

import numpy as np

from service.http.kinds import File
from service.http.results import Result
from service.http.video_medium import VIDEO
from service.http.video_output import scaled
from service.media.encode import encode
from service.media.videos import VIDEO_TYPES, VideoFormat, sheet, thumbnail

Variant = Literal["video", "thumbnail", "spritesheet"]
MOST_CELLS = 100  # of a sheet
JPEG_QUALITY = 90


def render(result: Result, name: str, variant: Variant, format: VideoFormat | None) -> File:
    """`format` is of a video: None is the one that was asked for."""
    frames, output = result.media, VIDEO.read_output(dict(result.output))
    match variant:
        case "thumbnail":
            return File(thumbnail(scaled(frames, output.scale)), "image/webp", f"{name}.webp")
        case "spritesheet":
            chosen = frames[np.linspace(0, len(frames) - 1, min(len(frames), MOST_CELLS)).round().astype(int)]
            return File(encode(sheet(scaled(chosen, output.scale)), "jpeg", JPEG_QUALITY), "image/jpeg", f"{name}.jpg")
        case "video":
            wanted = replace(output, format=format or output.format)
            return File(wanted.file(frames, result.tags), VIDEO_TYPES[wanted.format], f"{name}.{wanted.format}")
