"""Pixels to files. The same pixels and tags give the same bytes: nothing about the moment goes in."""

import json
from collections.abc import Mapping
from io import BytesIO
from typing import Literal

import numpy as np
from PIL import Image, PngImagePlugin

Format = Literal["png", "jpeg", "webp"]
MEDIA_TYPES: Mapping[Format, str] = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
TAG = "maskserve"


def encode(
    pixels: np.ndarray,
    format: Format = "png",
    compression: int = 100,
    tags: Mapping[str, object] | None = None,
) -> bytes:
    """uint8 [H, W, C] with C 1 or 3. `compression` is the JPEG or WebP quality (WebP: 100 loses nothing);
    `tags` go into PNG files."""
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    out = BytesIO()
    if format == "png":
        info = PngImagePlugin.PngInfo()
        if tags is not None:
            info.add_text(TAG, json.dumps(tags, sort_keys=True))
        picture.save(out, "PNG", pnginfo=info, compress_level=6)
    elif format == "jpeg":
        picture.save(out, "JPEG", quality=max(1, compression))
    else:
        picture.convert("RGB").save(out, "WEBP", quality=compression, lossless=compression == 100)
    return out.getvalue()
