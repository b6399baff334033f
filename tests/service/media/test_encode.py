import json
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from models.decoder import GenerationRequest
from models.spec import Sampling
from service.engine.events import Report
from service.media.composite import composite
from service.media.encode import encode
from service.media.resize import resize, resize_mask
from service.media.tags import make_tags, read_tags

REPORT = Report("toy", "abc", 7, 1, "4,12", 2, 0, False, "cpu-1", 0.5, 0.25, 16)
REQUEST = GenerationRequest("generate", 2, Sampling(), 7, 2)
pictures = st.sampled_from([1, 3]).flatmap(lambda c: arrays(np.uint8, (4, 6, c)))


@given(pictures)
def test_png_and_full_quality_webp_lose_nothing(pixels: np.ndarray) -> None:
    for format in ("png", "webp"):
        back = np.array(Image.open(BytesIO(encode(pixels, format))))  # type: ignore[arg-type]
        assert (back.reshape(4, 6, -1) == pixels).all()


def test_the_moment_is_not_in_the_file() -> None:
    pixels = np.zeros((4, 4, 1), np.uint8)
    slow = replace(REPORT, queue_seconds=9.0, run_seconds=9.0)
    files = [encode(pixels, tags=make_tags(REQUEST, r, "bag")) for r in (REPORT, slow)]
    assert files[0] == files[1]
    other = encode(pixels, tags=make_tags(REQUEST, replace(REPORT, seed=8), "bag"))
    assert other != files[0]


def test_tags_come_back() -> None:
    tags = make_tags(REQUEST, REPORT, "Schuh – 👟")
    assert read_tags(encode(np.zeros((4, 4, 3), np.uint8), tags=tags)) == json.loads(json.dumps(tags))
    with pytest.raises(ValueError, match="no maskserve tags"):
        read_tags(encode(np.zeros((4, 4, 3), np.uint8)))


@given(arrays(np.uint8, (4, 6, 3)), arrays(np.uint8, (4, 6, 3)), arrays(bool, (4, 6)))
def test_composite_takes_each_pixel_from_one_side(original: np.ndarray, made: np.ndarray, mask: np.ndarray) -> None:
    both = composite(original, made, mask)
    assert (both[mask] == made[mask]).all()
    assert (both[~mask] == original[~mask]).all()


@given(arrays(bool, (12, 20)))
def test_a_smaller_mask_covers_every_masked_pixel(mask: np.ndarray) -> None:
    small = resize_mask(mask, (5, 4))
    assert (small == mask.reshape(4, 3, 5, 4).any(axis=(1, 3))).all()


def test_whole_multiples_repeat_pixels() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert (resize(pixels, (4, 6)) == pixels.repeat(3, axis=0).repeat(2, axis=1)).all()
    assert resize(pixels, (2, 2)) is pixels
    assert resize(pixels[:, :, :1], (3, 5)).shape == (5, 3, 1)
