from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.media.uploads import UploadError, read_upload, webp_size

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 10, 3), np.uint8)


def file(picture: Image.Image, kind: str, **options: Any) -> bytes:
    out = BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("JPEG", {"quality": 95})])
def test_formats_are_told_by_content(kind: str, options: dict[str, Any]) -> None:
    upload = read_upload(file(Image.fromarray(PIXELS), kind, **options), 3, 100)
    assert upload.size == (10, 6)
    assert upload.transparent is None
    if kind != "JPEG":
        assert (upload.pixels == PIXELS).all()


def test_palette_transparency_counts_as_alpha() -> None:
    picture = Image.fromarray(np.array([[0, 1], [1, 1]], np.uint8), "P")
    picture.putpalette([255, 0, 0, 0, 255, 0])
    upload = read_upload(file(picture, "PNG", transparency=0), 3, 100)
    assert upload.transparent is not None
    assert upload.transparent.tolist() == [[True, False], [False, False]]
    assert upload.pixels[0, 1].tolist() == [0, 255, 0]


def test_pixels_below_full_transparency_keep_their_colour() -> None:
    alpha = np.zeros((6, 10), np.uint8)
    upload = read_upload(file(Image.fromarray(np.dstack([PIXELS, alpha])), "PNG"), 3, 100)
    assert (upload.pixels == PIXELS).all()


def test_grey_from_equal_channels_is_exact() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    upload = read_upload(file(Image.fromarray(np.dstack([ramp] * 3)), "PNG"), 1, 256)
    assert (upload.pixels[:, :, 0] == ramp).all()


def test_photos_are_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = file(Image.fromarray(PIXELS), "JPEG", exif=exif)
    assert read_upload(turned, 3, 100, (6, 10)).size == (6, 10)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_too_many_pixels_are_refused_from_the_header(kind: str) -> None:
    content = file(Image.new("RGB", (300, 300)), kind)
    with pytest.raises(UploadError, match="too many pixels") as caught:
        read_upload(content[: max(64, len(content) // 2)], 3, 300 * 300 - 1)
    assert caught.value.status == 413


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_webp_header(lossless: bool, mode: str) -> None:
    picture = Image.new(mode, (123, 45), 7)
    assert webp_size(file(picture, "WEBP", lossless=lossless)) == (123, 45)


def test_animations_and_deep_pictures_are_refused() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    animated = file(frames[0], "PNG", save_all=True, append_images=frames[1:])
    with pytest.raises(UploadError, match="animated"):
        read_upload(animated, 3, 100)
    deep = file(Image.fromarray(np.zeros((4, 4), np.uint16)), "PNG")
    with pytest.raises(UploadError, match="8 bits"):
        read_upload(deep, 3, 100)


GOOD = [file(Image.fromarray(PIXELS), kind, **options) for kind, options in [("PNG", {}), ("JPEG", {}), ("WEBP", {})]]


@given(st.sampled_from(GOOD), st.integers(0, 2000), st.integers(0, 255), st.integers(0, 2000))
def test_damaged_files_are_refused_or_read_never_a_crash(good: bytes, at: int, value: int, length: int) -> None:
    damaged = bytearray(good)
    damaged[at % len(damaged)] = value
    try:
        upload = read_upload(bytes(damaged[: length or None]), 3, 10_000)
    except UploadError:
        return
    assert upload.pixels.dtype == np.uint8
    assert upload.pixels.shape[2] == 3
