"""What a picture's file says about its making: enough to make it again."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from io import BytesIO

from PIL import Image

from models.decoder import GenerationRequest
from service.engine.events import Report
from service.media.encode import TAG


def make_tags(request: GenerationRequest, report: Report, understood: str | None) -> dict[str, object]:
    """Tags of one sample. They hold no time, no id and no word of the prompt beyond what the model understood."""
    return {
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
    """The tags of a PNG file. Raises ValueError for a file without them."""
    with Image.open(BytesIO(file)) as picture:
        text = picture.info.get(TAG)
    if text is None:
        raise ValueError("the file carries no maskserve tags")
    tags: Mapping[str, object] = json.loads(text)
    return tags
