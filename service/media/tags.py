"""What a file says about its making: enough to make it again."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from models.decoder import GenerationRequest
from service.engine.events import Report
from service.media.encode import TAG
from service.media.films import film_comment
from service.media.sounds import sound_comment


def make_tags(request: GenerationRequest, report: Report, understood: str | None) -> dict[str, object]:
    """Tags of one sample. They hold no time, no id and no word of the prompt beyond what the model understood."""
    length: dict[str, object] = {}
    if request.clip_task is not None:
        length = {"frames": request.frames, "clip_task": request.clip_task}
    elif request.frames:
        length = {"frames": request.frames, "loop": request.loop}
    return length | {
        "model": report.model,
        "checkpoint": report.checkpoint,
        "fingerprint": report.fingerprint,
        "task": request.task,
        "prompt": understood,
        "condition": request.condition,
        "seed": report.seed,
        "sample": report.sample,
        "plan": report.plan,
        "sampling": asdict(request.sampling),
    }


def read_tags(file: bytes) -> Mapping[str, object]:
    """The tags of a PNG, WAV, FLAC or Opus file, or of a video. Raises ValueError for a file without them."""
    try:
        tags: Mapping[str, object] = json.loads(_picture_text(file) or sound_comment(file) or film_comment(file))
    except ValueError:
        raise ValueError("the file carries no maskserve tags") from None
    return tags


def _picture_text(file: bytes) -> str:
    try:
        with Image.open(BytesIO(file)) as picture:
            return str(picture.info.get(TAG, "") or _text(picture.info.get("comment", "")))
    except UnidentifiedImageError:
        return ""


def _text(comment: str | bytes) -> str:
    """Of a GIF."""
    return comment.decode() if isinstance(comment, bytes) else comment
