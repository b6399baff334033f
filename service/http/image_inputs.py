"""The picture and mask of an edit or a variation: uploaded, as data URLs, or named by `image_id`."""

from base64 import b64decode
from dataclasses import dataclass

import numpy as np

from models.spec import DecoderSpec
from service.http.errors import ApiError, invalid
from service.http.image_requests import ImageSource
from service.http.results import Result
from service.http.services import Services
from service.media.resize import resize, resize_mask
from service.media.uploads import Upload, UploadError, read_upload


@dataclass(frozen=True)
class Files:
    """What a request brought: the bytes of its pictures and of its mask."""

    images: list[bytes]
    mask: bytes | None = None


@dataclass(frozen=True)
class Source:
    """pixels: uint8 [H, W, C] in the model's channels; mask: bool [H, W], true where made anew;
    image, image_mask: both at the model's own size; tokens: of `image`, as in `GenerationRequest`, where known."""

    pixels: np.ndarray
    mask: np.ndarray
    image: np.ndarray
    image_mask: np.ndarray
    tokens: np.ndarray | None

    @property
    def size(self) -> tuple[int, int]:
        """width, height of the picture that was given."""
        return self.pixels.shape[1], self.pixels.shape[0]


def file_parts(files: dict[str, list[bytes]], allowed: tuple[str, ...]) -> Files:
    """Multipart file parts by name. Raises ApiError for others, and for two masks."""
    for name in files:
        if name not in allowed:
            raise invalid(f"Unknown parameter: {name}.", name, "unknown_parameter")
    masks = files.get("mask", [])
    if len(masks) > 1:
        raise invalid("mask was given twice.", "mask")
    return Files(files.get("image", []), masks[0] if masks else None)


def data_url(source: ImageSource, param: str, limit: int) -> bytes:
    """The bytes of a base64 data URL; other URLs are refused, nothing is fetched."""
    head, comma, payload = source.image_url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        raise invalid("Pictures in JSON are data URLs: data:image/png;base64,...", param)
    if len(payload) > limit * 4 // 3 + 4:
        raise ApiError(413, f"{param} is larger than {limit} bytes.", "payload_too_large", param)
    try:
        return b64decode(payload, validate=True)
    except ValueError:
        raise invalid("The data URL is not base64.", param) from None


async def source_for(services: Services, spec: DecoderSpec, files: Files, result: Result | None) -> Source:
    """Decode, check and fit. Raises ApiError 400 or 413 with the field."""
    if result is not None:
        if files.images:
            raise invalid("Give either image or image_id.", "image_id")
        upload = Upload(_in_channels(result.media, channels_of(spec)), None)
        if upload.size != spec.size and not services.settings.resample:
            raise invalid(f"That result is not of {spec.id}'s size.", "image_id", "image_size_mismatch")
    else:
        upload = await _read_image(services, spec, files.images)
    mask = await _mask(services, upload, files.mask)
    tokens = result.tokens if result is not None and result.model == spec.id else None
    return await services.pool.run(_fitted, upload.pixels, mask, spec.size, tokens)


def _fitted(pixels: np.ndarray, mask: np.ndarray, size: tuple[int, int], tokens: np.ndarray | None) -> Source:
    fits = mask.shape == (size[1], size[0])
    return Source(pixels, mask, resize(pixels, size), mask if fits else resize_mask(mask, size), tokens)


def channels_of(spec: DecoderSpec) -> int:
    """1 for grey-scale models, 3 unless the spec says otherwise."""
    return 1 if spec.details.get("channels") == 1 else 3


def _in_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    weights = np.array([19595, 38470, 7471], np.uint32)  # ITU-R 601 luma in 1/65536, as in the uploads
    return ((pixels @ weights + 0x8000) >> 16).astype(np.uint8)[:, :, None]


async def _read_image(services: Services, spec: DecoderSpec, images: list[bytes]) -> Upload:
    if not images:
        raise invalid("Missing required parameter: image.", "image", "missing_required_parameter")
    if len(images) > 1:
        raise invalid(f"{spec.id} takes one image, not {len(images)}.", "image")
    settings = services.settings
    size = None if settings.resample else spec.size
    try:
        return await services.pool.run(read_upload, images[0], channels_of(spec), settings.max_pixels, size)
    except UploadError as error:
        raise _refusal(error, "image") from None


async def _mask(services: Services, upload: Upload, file: bytes | None) -> np.ndarray:
    """bool [H, W]: the mask's transparent pixels, else the picture's own, else all of it."""
    if file is None:
        own = upload.transparent
        return own if own is not None and own.any() else np.ones(upload.pixels.shape[:2], bool)
    try:
        mask = await services.pool.run(read_upload, file, 1, services.settings.max_pixels)
    except UploadError as error:
        raise _refusal(error, "mask") from None
    if mask.size != upload.size:
        raise invalid(
            "The mask is {}x{}, the image {}x{}.".format(*mask.size, *upload.size),
            "mask",
            "image_mask_size_mismatch",
        )
    if mask.transparent is None:
        raise invalid("The mask has no alpha channel: transparent pixels are made anew.", "mask", "mask_without_alpha")
    if not mask.transparent.any():
        raise invalid("No pixel of the mask is transparent: nothing to do.", "mask", "mask_empty")
    return mask.transparent


def _refusal(error: UploadError, param: str) -> ApiError:
    return ApiError(error.status, f"{param}: {error}.", error.code, param)
