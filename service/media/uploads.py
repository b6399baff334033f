"""Uploaded pictures: told by their content, measured before they are decoded."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP")
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
ORIENTATION = 0x0112


class UploadError(ValueError):
    """An upload that cannot be used; `code` is the API's error code, `status` its HTTP status."""

    def __init__(self, message: str, code: str = "invalid_image", status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


@dataclass(frozen=True)
class Upload:
    """pixels: uint8 [H, W, C]; transparent: bool [H, W], true where alpha is 0, or None without an alpha channel."""

    pixels: np.ndarray
    transparent: np.ndarray | None

    @property
    def size(self) -> tuple[int, int]:
        return self.pixels.shape[1], self.pixels.shape[0]


def read_upload(
    file: bytes,
    channels: int,
    max_pixels: int,
    size: tuple[int, int] | None = None,
) -> Upload:
    """Decode a picture to `channels` (1 or 3). With `size` (width, height) no other size is accepted.

    Raises UploadError: not a PNG, JPEG or WebP, truncated, animated, 16 bits deep, too many pixels, wrong size.
    """
    picture = _open(file, max_pixels)
    turn = _orientation(picture)
    width, height = picture.size
    _check_size((height, width) if turn >= 5 else (width, height), max_pixels, size)
    if picture.mode not in MODES:
        raise UploadError(f"pictures have 8 bits per channel, this one is of mode {picture.mode}")
    if getattr(picture, "n_frames", 1) > 1:
        raise UploadError("animated pictures are not accepted")
    try:
        picture.load()
        upright = ImageOps.exif_transpose(picture) if turn > 1 else picture
    except Exception as error:  # each Pillow plugin has its own ways to fail on broken data
        raise UploadError("the picture is truncated or damaged") from error
    transparent: np.ndarray | None = None
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
        transparent = np.asarray(upright.getchannel("A")) == 0
        upright = upright.convert("RGB")
    pixels = np.array(upright.convert("L" if channels == 1 else "RGB"))
    return Upload(pixels.reshape(*pixels.shape[:2], channels), transparent)


def _open(file: bytes, max_pixels: int) -> Image.Image:
    _check_size(webp_size(file), max_pixels, None)  # WebP allocates its canvas when opened
    try:
        return Image.open(BytesIO(file), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UploadError("the picture has too many pixels", "image_too_large", 413) from None
    except UnidentifiedImageError:
        raise UploadError("not a PNG, JPEG or WebP picture", "unsupported_media_type") from None
    except Exception as error:  # as above
        raise UploadError("the picture is truncated or damaged") from error


def _orientation(picture: Image.Image) -> int:
    """How a JPEG is turned (EXIF 1-8; from 5 on width and height change places), 1 for other formats."""
    if picture.format != "JPEG":
        return 1
    try:
        return int(picture.getexif().get(ORIENTATION, 1))
    except Exception as error:  # as below
        raise UploadError("the picture is truncated or damaged") from error


def _check_size(found: tuple[int, int], max_pixels: int, size: tuple[int, int] | None) -> None:
    if found[0] * found[1] > max_pixels:
        raise _too_large(*found)
    if size is not None and found != size:
        raise UploadError(
            f"the picture is {found[0]}x{found[1]}, this model takes {size[0]}x{size[1]}",
            "image_size_mismatch",
        )


def _too_large(width: int, height: int) -> UploadError:
    return UploadError(f"the picture of {width}x{height} has too many pixels", "image_too_large", 413)


def webp_size(file: bytes) -> tuple[int, int]:
    """Width and height from a WebP header (RFC 9649), (0, 0) for other files."""
    if file[:4] != b"RIFF" or file[8:12] != b"WEBP" or len(file) < 30:
        return 0, 0
    kind = file[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(file[24:27], "little"), 1 + int.from_bytes(file[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(file[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    bits = int.from_bytes(file[26:30], "little")
    return bits & 0x3FFF, bits >> 16 & 0x3FFF
