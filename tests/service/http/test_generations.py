"""POST /v1/images/generations through the unmodified SDK and as raw HTTP."""

from base64 import b64decode
from io import BytesIO
from typing import Any

import httpx2
import numpy as np
import pytest
from openai import AsyncOpenAI, BadRequestError, InternalServerError, NotFoundError
from PIL import Image

from models.decoding.plan import Plan
from service.engine.events import Done, Failed
from service.engine.request import EngineDead, Priority, QueueFull
from service.media.tags import read_tags
from service.settings import Settings
from tests.fakes_http import SPEC, FakeDispatcher, picture

pytestmark = pytest.mark.anyio
URL = "/v1/images/generations"


def pixels(b64: str | None) -> np.ndarray:
    assert b64 is not None
    return np.array(Image.open(BytesIO(b64decode(b64))))


async def test_sdk_gets_n_pictures_that_depend_on_seed_and_sample(client: AsyncOpenAI) -> None:
    answer = await client.images.generate(prompt="a sneaker", n=3, extra_body={"seed": 7})
    assert answer.data is not None
    for sample, image in enumerate(answer.data):
        assert (pixels(image.b64_json) == picture(7, sample)).all()
        assert image.revised_prompt == "sneaker"
    assert answer.size == "8x8"
    assert answer.output_format == "png"
    assert answer.usage is not None
    assert answer.usage.output_tokens == 3 * SPEC.length
    assert answer.usage.total_tokens == 3 * SPEC.length + 1
    assert answer.model_extra is not None
    assert answer.model_extra["seed"] == 7
    assert answer.model_extra["checkpoint"] == SPEC.checkpoint
    assert answer._request_id is not None


async def test_the_answer_is_enough_to_repeat_it(http: httpx2.AsyncClient, dispatcher: FakeDispatcher) -> None:
    first = await http.post(URL, json={"prompt": "shirt"})
    picture = first.json()["data"][0]
    again = {"prompt": "shirt", "seed": picture["seed"], "plan": picture["plan"]}
    second = await http.post(URL, json=again)
    assert second.json()["data"][0]["b64_json"] == picture["b64_json"]
    assert dispatcher.request.plan == Plan.parse(picture["plan"])
    headers = second.headers
    assert headers["x-maskserve-seed"] == str(picture["seed"])
    assert headers["x-maskserve-plan"] == picture["plan"]
    assert headers["x-maskserve-steps"] == "4"
    assert headers["x-maskserve-model"] == "toy"
    assert headers["x-maskserve-checkpoint"] == SPEC.checkpoint
    assert headers["x-maskserve-fingerprint"] == "toy-1"
    assert int(headers["openai-processing-ms"]) >= 0


async def test_options_reach_the_decoder(http: httpx2.AsyncClient, dispatcher: FakeDispatcher) -> None:
    options = {
        "guidance_scale": 2.5,
        "guidance_schedule": "linear",
        "temperature": 0.5,
        "choice_temperature": 3,
        "top_k": 5,
        "top_p": 0.9,
        "schedule": "power:2.5",
        "reuse": 1,
        "full_first": 2,
        "num_inference_steps": 6,
    }
    body = {"prompt": "1", "priority": "high", "deadline_ms": 500, "allow_fewer_steps": True}
    answer = await http.post(URL, json={**body, **options, "quality": "low"})
    assert answer.status_code == 200, answer.text
    assert {k: getattr(dispatcher.request.sampling, k) for k in options} == options
    ticket = dispatcher.tickets[-1]
    assert ticket.priority is Priority.HIGH
    assert ticket.deadline == 1000.5
    assert ticket.allow_fewer_steps
    assert ticket.request.condition == 1


@pytest.mark.parametrize(
    ("quality", "steps"),
    [(None, 4), ("auto", 4), ("low", 2), ("high", 8), ("standard", 4), ("hd", 8)],
)
async def test_quality_is_a_budget_of_steps(
    http: httpx2.AsyncClient, dispatcher: FakeDispatcher, quality: str | None, steps: int
) -> None:
    await http.post(URL, json={"prompt": "shirt", "quality": quality})
    assert dispatcher.request.sampling.num_inference_steps == steps


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({}, "prompt", "missing_required_parameter"),
        ({"prompt": 5}, "prompt", "invalid_value"),
        ({"prompt": ""}, "prompt", "invalid_value"),
        ({"prompt": "a car"}, "prompt", "invalid_value"),
        ({"prompt": "a shirt and a sneaker"}, "prompt", "invalid_value"),
        ({"n": 0}, "n", "invalid_value"),
        ({"n": 11}, "n", "invalid_value"),
        ({"n": "2"}, "n", "invalid_value"),
        ({"n": True}, "n", "invalid_value"),
        ({"size": "64x64"}, "size", "invalid_value"),
        ({"size": 8}, "size", "invalid_value"),
        ({"quality": "ultra"}, "quality", "invalid_value"),
        ({"quality": "xhigh"}, "quality", "invalid_value"),
        ({"background": "transparent"}, "background", "invalid_value"),
        ({"output_format": "gif"}, "output_format", "invalid_value"),
        ({"output_compression": 50}, "output_compression", "invalid_value"),
        ({"response_format": "url", "stream": True}, "response_format", "invalid_value"),
        ({"partial_images": 2}, "partial_images", "invalid_value"),
        ({"partial_images": 4, "stream": True}, "partial_images", "invalid_value"),
        ({"negative_prompt": "x"}, "negative_prompt", "unknown_parameter"),
        ({"complexity": 1}, "complexity", "unknown_parameter"),
        ({"num_inference_steps": 17}, "num_inference_steps", "invalid_value"),
        ({"guidance_scale": 21}, "guidance_scale", "invalid_value"),
        ({"top_p": 0}, "top_p", "invalid_value"),
        ({"schedule": "sine"}, "schedule", "invalid_value"),
        ({"reuse": 3}, "reuse", "invalid_value"),
        ({"plan": "1,x"}, "plan", "invalid_value"),
        ({"plan": "1,0,15"}, "plan", "invalid_value"),
        ({"plan": "1,2"}, "plan", "invalid_value"),
        ({"plan": "1,20"}, "plan", "invalid_value"),
        ({"plan": "1+1+1+1,12"}, "plan", "invalid_value"),
        ({"seed": -1}, "seed", "invalid_value"),
        ({"seed": 2**63}, "seed", "invalid_value"),
        ({"deadline_ms": 0}, "deadline_ms", "invalid_value"),
        ({"priority": "urgent"}, "priority", "invalid_value"),
    ],
)
async def test_bad_fields_are_named(
    http: httpx2.AsyncClient,
    dispatcher: FakeDispatcher,
    body: dict[str, Any],
    param: str,
    code: str,
) -> None:
    base = {} if code == "missing_required_parameter" else {"prompt": "shirt"}
    answer = await http.post(URL, json={**base, **body})
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["type"] == "invalid_request_error"
    assert (error["param"], error["code"]) == (param, code)
    assert error["message"]
    assert not dispatcher.tickets


async def test_a_prompt_that_names_no_class_is_told_the_classes(client: AsyncOpenAI) -> None:
    with pytest.raises(BadRequestError, match="shirt, sneaker, ankle boot") as caught:
        await client.images.generate(prompt="a car")
    assert caught.value.param == "prompt"
    assert caught.value.request_id is not None


async def test_unknown_model(client: AsyncOpenAI) -> None:
    with pytest.raises(NotFoundError) as caught:
        await client.images.generate(prompt="shirt", model="dall-e-9")
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"


@pytest.mark.parametrize("body", [b"[1]", b"5", b"null", b"{", b"", b'{"prompt": NaN}', b"\xff", b"[" * 100_000])
async def test_json_of_a_wrong_shape(http: httpx2.AsyncClient, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = await http.post(URL, content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_bodies_are_bounded_and_typed(http: httpx2.AsyncClient) -> None:
    big = await http.post(URL, json={"prompt": "x" * (1 << 20)})
    assert (big.status_code, big.json()["error"]["code"]) == (413, "payload_too_large")

    async def chunks() -> Any:
        for _ in range(3):
            yield b"x" * (1 << 19)

    headers = {"content-type": "application/json"}
    chunked = await http.post(URL, content=chunks(), headers=headers)
    assert chunked.status_code == 413
    form = await http.post(URL, data={"prompt": "shirt"})
    assert (form.status_code, form.json()["error"]["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(("format", "kind"), [("jpeg", "JPEG"), ("webp", "WEBP"), ("png", "PNG")])
async def test_formats(client: AsyncOpenAI, format: Any, kind: str) -> None:
    answer = await client.images.generate(prompt="shirt", output_format=format)
    assert answer.data is not None and answer.data[0].b64_json is not None
    assert Image.open(BytesIO(b64decode(answer.data[0].b64_json))).format == kind
    assert answer.output_format == format


async def test_png_tags_tell_how_it_was_made_and_nothing_else(http: httpx2.AsyncClient) -> None:
    body = {"prompt": "my secret sneaker", "seed": 3, "n": 2}
    first, second = [(await http.post(URL, json=body)).json()["data"] for _ in range(2)]
    assert [p["b64_json"] for p in first] == [p["b64_json"] for p in second]
    tags = read_tags(b64decode(first[1]["b64_json"]))
    assert tags["seed"] == 3
    assert tags["sample"] == 1
    assert tags["prompt"] == "sneaker"
    assert tags["condition"] == 1
    assert tags["plan"] == first[1]["plan"]
    assert tags["model"] == "toy"
    assert "secret" not in str(tags)


@pytest.mark.parametrize("settings", [Settings(tag_files=False, log_level="error")])
async def test_tags_can_be_switched_off(http: httpx2.AsyncClient, settings: Settings) -> None:
    file = (await http.post(URL, json={"prompt": "shirt"})).json()["data"][0]["b64_json"]
    with pytest.raises(ValueError, match="no maskserve tags"):
        read_tags(b64decode(file))


@pytest.mark.parametrize("settings", [Settings(resample=True, log_level="error")])
async def test_other_sizes_when_the_operator_allows_them(http: httpx2.AsyncClient, settings: Settings) -> None:
    body = {"prompt": "shirt", "size": "32x16", "seed": 1}
    answer = (await http.post(URL, json=body)).json()
    assert answer["size"] == "32x16"
    made = pixels(answer["data"][0]["b64_json"])
    assert (made == picture(1, 0).repeat(2, axis=0).repeat(4, axis=1)).all()
    refused = await http.post(URL, json={**body, "size": "99999x1"})
    assert refused.json()["error"]["param"] == "size"


async def test_refusals_and_failures(client: AsyncOpenAI, dispatcher: FakeDispatcher) -> None:
    dispatcher.refuse = QueueFull(3.2)
    with pytest.raises(InternalServerError) as full:
        await client.images.generate(prompt="shirt")
    assert (full.value.status_code, full.value.code) == (503, "queue_full")
    assert full.value.response.headers["retry-after"] == "4"
    dispatcher.refuse = EngineDead("boom")
    with pytest.raises(InternalServerError) as dead:
        await client.images.generate(prompt="shirt")
    assert dead.value.status_code == 503
    dispatcher.refuse = None


@pytest.mark.parametrize(
    ("code", "status", "type"),
    [
        ("deadline_exceeded", 504, "timeout_error"),
        ("out_of_memory", 500, "server_error"),
        ("internal_error", 500, "server_error"),
        ("model_unavailable", 503, "server_error"),
        ("draining", 503, "server_error"),
        ("invalid_value", 400, "invalid_request_error"),
    ],
)
async def test_engine_codes(
    http: httpx2.AsyncClient, dispatcher: FakeDispatcher, code: str, status: int, type: str
) -> None:
    dispatcher.script = lambda ticket, spec: [Failed(ticket.id, code, "secret path")]
    answer = await http.post(URL, json={"prompt": "shirt"})
    assert answer.status_code == status
    error = answer.json()["error"]
    assert (error["code"], error["type"]) == (code, type)
    if status == 500:
        assert "secret" not in error["message"]


async def test_a_bug_is_a_500_without_a_trace(http: httpx2.AsyncClient, dispatcher: FakeDispatcher) -> None:
    dispatcher.script = lambda ticket, spec: [Done(ticket.id)][1 / 0 :]  # type: ignore[misc]
    answer = await http.post(URL, json={"prompt": "shirt"})
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert "ZeroDivision" not in answer.text
    assert answer.headers["x-request-id"].startswith("req_")
