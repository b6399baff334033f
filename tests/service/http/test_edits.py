"""Edits and variations: masks, uploads, kept pixels, earlier results by id."""

from base64 import b64decode, b64encode
from io import BytesIO
from typing import Any
from zlib import crc32

import httpx2
import numpy as np
import pytest
from openai import AsyncOpenAI
from PIL import Image

from service.settings import Settings
from tests.fakes_http import FakeDispatcher, picture, variant

pytestmark = pytest.mark.anyio
EDITS, VARIATIONS = "/v1/images/edits", "/v1/images/variations"
ORIGINAL = np.random.default_rng(5).integers(0, 256, (8, 8, 3), np.uint8)
HOLE = np.zeros((8, 8), bool)
HOLE[1:4, 2:5] = True  # touches 2x2 pixel cells only in part


def file(pixels: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    out = BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def with_alpha(pixels: np.ndarray, hole: np.ndarray) -> bytes:
    alpha = np.where(hole, 0, 255).astype(np.uint8)
    return file(np.dstack([pixels, alpha]))


MASK = with_alpha(np.zeros((8, 8, 3), np.uint8), HOLE)


def pixels(b64: str | None) -> np.ndarray:
    assert b64 is not None
    return np.array(Image.open(BytesIO(b64decode(b64))))


def parts(**files: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [(name, ("upload", content, "application/octet-stream")) for name, content in files.items()]


async def test_sdk_edit_makes_the_hole_anew_and_keeps_the_rest_bit_for_bit(
    client: AsyncOpenAI, dispatcher: FakeDispatcher
) -> None:
    answer = await client.images.edit(image=file(ORIGINAL), mask=MASK, prompt="shirt", n=2, extra_body={"seed": 9})
    assert answer.data is not None
    for sample, image in enumerate(answer.data):
        made = pixels(image.b64_json)
        assert (made[~HOLE] == ORIGINAL[~HOLE]).all()
        assert (made[HOLE] == picture(9, sample)[HOLE]).all()
    request = dispatcher.request
    assert request.image is not None and request.mask is not None
    assert (request.image == ORIGINAL).all()
    assert (request.mask == HOLE).all()
    assert answer.usage is not None
    assert answer.usage.input_tokens_details.image_tokens == 16
    assert answer.usage.output_tokens == 2 * 4


@pytest.mark.parametrize("name", ["image", "image[]"])
async def test_both_part_names(http: httpx2.AsyncClient, dispatcher: FakeDispatcher, name: str) -> None:
    files = parts(**{name: file(ORIGINAL), "mask": MASK})
    answer = await http.post(EDITS, data={"prompt": "shirt", "n": "2", "stream": "false"}, files=files)
    assert answer.status_code == 200, answer.text
    assert dispatcher.request.n == 2


async def test_json_edit_with_data_urls(http: httpx2.AsyncClient, dispatcher: FakeDispatcher) -> None:
    def url(content: bytes) -> dict[str, str]:
        return {"image_url": f"data:image/png;base64,{b64encode(content).decode()}"}

    body = {"prompt": "shirt", "images": [url(file(ORIGINAL))], "mask": url(MASK)}
    answer = await http.post(EDITS, json=body)
    assert answer.status_code == 200, answer.text
    assert dispatcher.request.mask is not None and (dispatcher.request.mask == HOLE).all()
    for wrong in ("http://127.0.0.1/x.png", "data:image/png;base64,@@", "file:///etc/passwd"):
        refused = await http.post(EDITS, json={**body, "images": [{"image_url": wrong}]})
        assert refused.status_code == 400
        assert refused.json()["error"]["param"] == "images.0.image_url"


async def test_the_alpha_of_the_image_is_its_mask(http: httpx2.AsyncClient, dispatcher: FakeDispatcher) -> None:
    files = parts(image=with_alpha(ORIGINAL, HOLE))
    await http.post(EDITS, data={"prompt": "shirt"}, files=files)
    assert dispatcher.request.mask is not None and (dispatcher.request.mask == HOLE).all()


async def test_no_mask_at_all_makes_everything_anew(http: httpx2.AsyncClient, dispatcher: FakeDispatcher) -> None:
    await http.post(EDITS, data={"prompt": "shirt"}, files=parts(image=file(ORIGINAL)))
    assert dispatcher.request.mask is not None and dispatcher.request.mask.all()


HEADER = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
BOMB = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + HEADER + crc32(HEADER).to_bytes(4, "big") + b"\0\0\0\x09IDAT"


@pytest.mark.parametrize(
    ("files", "status", "param", "code"),
    [
        (parts(mask=MASK), 400, "image", "missing_required_parameter"),
        (parts(image=b"GIF89a nothing"), 400, "image", "unsupported_media_type"),
        (parts(image=b""), 400, "image", "unsupported_media_type"),
        (parts(image=file(ORIGINAL)[:-40]), 400, "image", "invalid_image"),
        (parts(image=file(ORIGINAL, "JPEG")[:200]), 400, "image", "invalid_image"),
        (parts(image=file(np.zeros((9, 8, 3), np.uint8))), 400, "image", "image_size_mismatch"),
        (parts(image=BOMB), 413, "image", "image_too_large"),
        (
            parts(image=file(ORIGINAL), mask=with_alpha(np.zeros((4, 4, 3), np.uint8), HOLE[:4, :4])),
            400,
            "mask",
            "image_mask_size_mismatch",
        ),
        (parts(image=file(ORIGINAL), mask=file(ORIGINAL)), 400, "mask", "mask_without_alpha"),
        (
            parts(image=file(ORIGINAL), mask=with_alpha(ORIGINAL, HOLE & False)),
            400,
            "mask",
            "mask_empty",
        ),
        (parts(image=file(ORIGINAL), markup=MASK), 400, "markup", "unknown_parameter"),
        (parts(image=file(ORIGINAL)) * 2, 400, "image", "invalid_value"),
        (parts(image=file(ORIGINAL)) + parts(mask=MASK) * 2, 400, "mask", "invalid_value"),
    ],
)
async def test_bad_uploads(
    http: httpx2.AsyncClient,
    dispatcher: FakeDispatcher,
    files: Any,
    status: int,
    param: str,
    code: str,
) -> None:
    answer = await http.post(EDITS, data={"prompt": "shirt"}, files=files)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (status, param, code)
    assert not dispatcher.tickets


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"prompt": "car"}, "prompt", "invalid_value"),
        ({"prompt": ["shirt", "sneaker"]}, "prompt", "invalid_value"),
        ({"n": "two"}, "n", "invalid_value"),
        ({"n": ""}, "n", "invalid_value"),
        ({"stream": "maybe"}, "stream", "invalid_value"),
        ({"input_fidelity": "high"}, "input_fidelity", "unknown_parameter"),
        ({"image": "not a file"}, "image", "invalid_value"),
        ({"image_id": "img_1"}, "image_id", "image_not_found"),
        ({"plan": "1,2"}, None, "invalid_value"),
    ],
)
async def test_bad_form_fields(http: httpx2.AsyncClient, fields: dict[str, Any], param: str | None, code: str) -> None:
    files = parts(mask=MASK, **({} if "image" in fields else {"image": file(ORIGINAL)}))
    answer = await http.post(EDITS, data={"prompt": "shirt", **fields}, files=files)
    error = answer.json()["error"]
    assert 400 <= answer.status_code < 500
    assert (error["param"], error["code"]) == (param, code)


async def test_broken_forms(http: httpx2.AsyncClient) -> None:
    headers = {"content-type": "multipart/form-data"}
    for type in ("multipart/form-data", "multipart/form-data; boundary=x"):
        answer = await http.post(EDITS, content=b"nonsense", headers={**headers, "content-type": type})
        assert answer.status_code == 400, answer.text
    text = await http.post(EDITS, content=b"x", headers={"content-type": "text/plain"})
    assert text.status_code == 415
    many = await http.post(EDITS, data={"prompt": "shirt"}, files=parts(image=MASK) * 60)
    assert many.status_code == 400
    assert many.json()["error"]["code"] == "invalid_form"


@pytest.mark.parametrize("settings", [Settings(max_image_bytes=300, log_level="error")])
async def test_large_files_are_refused(http: httpx2.AsyncClient, settings: Settings) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    answer = await http.post(EDITS, data={"prompt": "shirt"}, files=parts(image=file(noise)))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (413, "payload_too_large")


async def test_grey_models_keep_grey_pixels(http: httpx2.AsyncClient) -> None:
    grey = ORIGINAL[:, :, 0]
    for upload in (file(grey), file(np.repeat(grey[:, :, None], 3, axis=2))):
        answer = await http.post(EDITS, data={"prompt": "shirt"}, files=parts(image=upload, mask=MASK))
        made = pixels(answer.json()["data"][0]["b64_json"])
        assert made.shape == (8, 8)
        assert (made[~HOLE] == grey[~HOLE]).all()


test_grey_models_keep_grey_pixels = pytest.mark.parametrize(
    "dispatcher", [FakeDispatcher.serving(variant(details={"channels": 1}))]
)(test_grey_models_keep_grey_pixels)


@pytest.mark.parametrize("settings", [Settings(resample=True, log_level="error")])
async def test_resampling_keeps_pixels_of_the_upload(
    http: httpx2.AsyncClient, dispatcher: FakeDispatcher, settings: Settings
) -> None:
    original = np.random.default_rng(1).integers(0, 256, (48, 32, 3), np.uint8)
    hole = np.zeros((48, 32), bool)
    hole[0, 0] = hole[20:30, 5:9] = True
    files = parts(image=file(original), mask=with_alpha(original, hole))
    answer = await http.post(EDITS, data={"prompt": "shirt"}, files=files)
    assert answer.json()["size"] == "32x48"
    made = pixels(answer.json()["data"][0]["b64_json"])
    assert (made[~hole] == original[~hole]).all()
    request = dispatcher.request
    assert request.image is not None and request.image.shape == (8, 8, 3)
    assert request.mask is not None and request.mask[0, 0] and not request.mask[7, 7]


async def test_an_edit_names_an_earlier_result(http: httpx2.AsyncClient, dispatcher: FakeDispatcher) -> None:
    made = await http.post("/v1/images/generations", json={"prompt": "shirt", "seed": 4, "n": 2})
    id = made.json()["data"][1]["id"]
    fields = {"prompt": "sneaker", "image_id": id, "seed": "6"}
    answer = await http.post(EDITS, data=fields, files=parts(mask=MASK))
    assert answer.status_code == 200, answer.text
    request = dispatcher.request
    assert request.tokens is not None and (request.tokens == 1).all()
    assert request.image is not None and (request.image == picture(4, 1)).all()
    edited = pixels(answer.json()["data"][0]["b64_json"])
    assert (edited[~HOLE] == picture(4, 1)[~HOLE]).all()
    both = await http.post(EDITS, data=fields, files=parts(image=file(ORIGINAL), mask=MASK))
    assert both.json()["error"]["param"] == "image_id"


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # the SDK's own word on this endpoint
async def test_sdk_variation(client: AsyncOpenAI, dispatcher: FakeDispatcher) -> None:
    answer = await client.images.create_variation(image=file(ORIGINAL), n=2, extra_body={"strength": 0.25, "seed": 2})
    assert answer.data is not None and len(answer.data) == 2
    assert dispatcher.request.strength == 0.25
    assert dispatcher.request.condition is None
    assert dispatcher.request.mask is None
    assert (pixels(answer.data[1].b64_json) == picture(2, 1)).all()


async def test_a_variation_of_a_result_keeps_its_class(http: httpx2.AsyncClient, dispatcher: FakeDispatcher) -> None:
    made = await http.post("/v1/images/generations", json={"prompt": "ankle boot"})
    form = {"image_id": made.json()["data"][0]["id"]}
    answer = await http.post(VARIATIONS, files={name: (None, value) for name, value in form.items()})
    assert answer.json()["data"][0]["revised_prompt"] == "ankle boot"
    assert dispatcher.request.condition == 2
    refused = await http.post(VARIATIONS, data={"strength": "1.5"}, files=parts(image=file(ORIGINAL)))
    assert refused.json()["error"]["param"] == "strength"


async def test_tasks_the_model_lacks_are_refused(http: httpx2.AsyncClient) -> None:
    answer = await http.post(EDITS, data={"prompt": "shirt"}, files=parts(image=file(ORIGINAL)))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")


test_tasks_the_model_lacks_are_refused = pytest.mark.parametrize(
    "dispatcher", [FakeDispatcher.serving(variant(tasks=frozenset({"generate"})))]
)(test_tasks_the_model_lacks_are_refused)
