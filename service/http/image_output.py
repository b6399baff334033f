"""How finished pictures leave: size, file format, and the kept pixels of an edit."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from models.spec import DecoderSpec
from service.http.errors import invalid
from service.http.image_requests import ImageOptions
from service.http.sampling import quality_of
from service.media.composite import composite
from service.media.encode import Format, encode
from service.media.resize import resize

LARGEST_SIDE = 2048


@dataclass(frozen=True)
class Keep:
    """What an edit leaves alone. pixels: uint8 [H, W, C] of the upload; mask: bool [H, W], true where made anew."""

    pixels: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class ImageOutput:
    """size: (width, height) of the delivered picture."""

    format: Format
    compression: int
    size: tuple[int, int]
    quality: str
    keep: Keep | None = None

    def keeping(self, keep: Keep) -> "ImageOutput":
        return replace(self, keep=keep)

    def media(self, made: np.ndarray) -> np.ndarray:
        """From the decoder's picture to the delivered one, uint8 [H, W, C]."""
        if self.keep is not None:
            height, width = self.keep.mask.shape
            made = composite(self.keep.pixels, resize(made, (width, height)), self.keep.mask)
        return resize(made, self.size)

    def file(self, pixels: np.ndarray, tags: Mapping[str, object] | None) -> bytes:
        return encode(pixels, self.format, self.compression, tags)


def output_for(
    spec: DecoderSpec,
    options: ImageOptions,
    steps: int,
    resample: bool,
    auto: tuple[int, int],
    keep: Keep | None = None,
    later: bool = False,
) -> ImageOutput:
    """Raises ApiError 400 with the field. `auto` is what size=auto means: the upload's size, else the model's."""
    if options.response_format == "url" and options.stream and not later:
        raise invalid("A stream carries its pictures as b64_json.", "response_format")
    if options.background == "transparent":
        raise invalid("The pictures of this server are opaque.", "background")
    format: Format = options.output_format or "png"
    compression = 100 if options.output_compression is None else options.output_compression
    if format == "png" and compression != 100:
        raise invalid("output_compression is for jpeg and webp.", "output_compression")
    if (options.partial_images or 0) > 0 and not options.stream and not later:
        raise invalid("partial_images needs stream=true.", "partial_images")
    size = _size(spec, options.size or "auto", auto, resample)
    return ImageOutput(format, compression, size, quality_of(spec, steps), keep)


def _size(spec: DecoderSpec, size: str, auto: tuple[int, int], resample: bool) -> tuple[int, int]:
    native = "{}x{}".format(*spec.size)
    if size == "auto":
        return auto
    if size == native:
        return spec.size
    width, _, height = size.partition("x")
    if not resample or not (width.isdecimal() and height.isdecimal()):
        raise invalid(f"{spec.id} makes pictures of size auto or {native}.", "size")
    if not (1 <= int(width) <= LARGEST_SIDE and 1 <= int(height) <= LARGEST_SIDE):
        raise invalid(f"Sides are between 1 and {LARGEST_SIDE}.", "size")
    return int(width), int(height)
