"""Files of a kept video: another format or size than was asked for, a still, a sheet of its frames."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from service.http.errors import invalid
from service.http.kinds import File
from service.http.results import Result
from service.http.services import Services
from service.http.video_medium import VIDEO
from service.http.video_output import scale_for, scaled
from service.media.encode import encode
from service.media.videos import VIDEO_TYPES, VideoFormat, sheet, thumbnail

Variant = Literal["video", "thumbnail", "spritesheet"]
MOST_CELLS = 100  # of a sheet
MOST_PIXELS = 1 << 28  # of all frames together, that are encoded again
JPEG_QUALITY = 90


@dataclass(frozen=True)
class Asked:
    """What is to be made of a video; None is what was asked for when it was made."""

    variant: Variant = "video"
    format: VideoFormat | None = None
    size: str | None = None


async def rendered(services: Services, result: Result, name: str, asked: Asked) -> File:
    """`name`: the result's, `vid_<request>_<sample>`. Raises ApiError 400 with the field, StoreAway."""
    if asked.variant != "video" and (asked.format or asked.size):
        raise invalid("format and size are of the video.", "format" if asked.format else "size")
    frames, output = result.media, VIDEO.read_output(dict(result.output))
    match asked.variant:
        case "thumbnail":
            middle = frames[len(frames) // 2][None]
            still = await services.pool.run(lambda: thumbnail(scaled(middle, output.scale)))
            return File(still, "image/webp", f"{name}.webp")
        case "spritesheet":
            at = np.linspace(0, len(frames) - 1, min(len(frames), MOST_CELLS)).round().astype(int)
            cells = await services.pool.run(
                lambda: encode(sheet(scaled(frames[at], output.scale)), "jpeg", JPEG_QUALITY)
            )
            return File(cells, "image/jpeg", f"{name}.jpg")
    format = asked.format or output.format
    scale = output.scale
    if asked.size is not None:
        scale = scale_for(result.model, (frames.shape[2], frames.shape[1]), asked.size)
    if frames[..., 0].size * scale**2 > MOST_PIXELS:
        raise invalid(f"{len(frames)} frames of that size are too much to be encoded again.", "size")
    make = partial(replace(output, format=format, scale=scale).file, frames, result.tags)
    if scale == output.scale:
        _, request, sample = name.split("_")
        content = await services.results.once(f"req_{request}/{VIDEO.noun}-{sample}.{format}", make)
    else:
        content = await services.pool.run(make)
    return File(content, VIDEO_TYPES[format], f"{name}.{format}")
