"""The unmodified OpenAI SDK against a real server, a real engine and random weights."""

import threading
import time
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import httpx2
import numpy as np
import pytest
from openai import InternalServerError
from PIL import Image

from models.catalogue import Catalogue
from models.decoder import Kind
from service.engine.policy import Policy
from tests.live import STEP_SECONDS, Live, serving

CORNER = np.zeros((16, 16), bool)
CORNER[:6, :5] = True


def pixels(b64: str | None) -> np.ndarray:
    assert b64 is not None
    picture = np.array(Image.open(BytesIO(b64decode(b64))))
    return picture if picture.ndim == 3 else picture[:, :, None]


def png(array: np.ndarray) -> bytes:
    out = BytesIO()
    Image.fromarray(array[:, :, 0] if array.shape[-1] == 1 else array).save(out, "PNG")
    return out.getvalue()


def mask(hole: np.ndarray) -> bytes:
    alpha = np.where(hole, 0, 255).astype(np.uint8)
    return png(np.dstack([np.zeros((*hole.shape, 3), np.uint8), alpha]))


def test_four_pictures_begin_with_the_one(live: Live) -> None:
    client = live.client
    four = client.images.generate(model="tiny", prompt="shirt", n=4, extra_body={"seed": 3})
    one = client.images.generate(model="tiny", prompt="shirt", extra_body={"seed": 3})
    assert four.data is not None and one.data is not None
    assert len({image.b64_json for image in four.data}) == 4
    assert four.data[0].b64_json == one.data[0].b64_json
    assert one.size == "16x16" and pixels(one.data[0].b64_json).shape[:2] == (16, 16)
    assert four.usage is not None and four.usage.output_tokens == 4 * 16


def test_an_answer_repeats_to_the_byte_in_company(live: Live) -> None:
    client = live.client
    asked = {"guidance_scale": 2.0, "reuse": 1, "num_inference_steps": 6}
    first = client.images.generate(model="tiny", prompt="bag", extra_body=asked)
    assert first.data is not None and first.model_extra is not None
    image = first.data[0]
    assert image.model_extra is not None
    assert image.model_extra["steps"]["reuse"] > 0
    plan = {"seed": image.model_extra["seed"], "plan": image.model_extra["plan"], "guidance_scale": 2.0}

    def company(seed: int) -> None:
        client.images.generate(model="tiny", prompt="sneaker", n=2, extra_body={"seed": seed})

    with ThreadPoolExecutor(8) as pool:
        others = [pool.submit(company, seed) for seed in range(8)]
        again = client.images.generate(model="tiny", prompt="bag", extra_body=plan)
        for other in others:
            other.result()
    assert again.data is not None
    assert (pixels(again.data[0].b64_json) == pixels(image.b64_json)).all()


def test_a_masked_edit_keeps_the_rest(live: Live) -> None:
    client = live.client
    made = client.images.generate(model="tiny", prompt="shirt", extra_body={"seed": 1})
    assert made.data is not None and made.data[0].model_extra is not None
    original = pixels(made.data[0].b64_json)
    edits = [
        client.images.edit(
            model="tiny", image=png(original), mask=mask(CORNER), prompt="bag", extra_body={"seed": seed}
        )
        for seed in (1, 1, 2)
    ]
    results = [pixels(edit.data[0].b64_json) for edit in edits if edit.data]
    for result in results:
        assert (result[~CORNER] == original[~CORNER]).all()
    assert (results[0] == results[1]).all()
    assert (results[0][CORNER] != original[CORNER]).any()
    assert (results[0] != results[2]).any()
    assert edits[0].usage is not None and edits[0].usage.output_tokens == 4
    form = {"model": "tiny", "prompt": "bag", "image_id": made.data[0].model_extra["id"]}
    named = httpx2.post(f"{live.url}/v1/images/edits", data=form, files={"mask": mask(CORNER)})
    assert named.status_code == 200, named.text
    assert (pixels(named.json()["data"][0]["b64_json"])[~CORNER] == original[~CORNER]).all()


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # the SDK's own word on this endpoint
def test_variation(live: Live) -> None:
    image = png(np.zeros((16, 16, 3), np.uint8))
    answer = live.client.images.create_variation(model="tiny", image=image, extra_body={"strength": 0.25})
    assert answer.usage is not None and answer.usage.output_tokens == 4


def test_a_stream_shows_three_partials_before_the_picture(live: Live) -> None:
    asked = {"seed": 5, "num_inference_steps": 16}
    stream = live.client.images.generate(model="slow", prompt="shirt", stream=True, partial_images=3, extra_body=asked)
    first = next(stream)
    assert not live.engine.idle()  # it arrives while the work goes on
    events = [first, *stream]
    assert [e.type.split(".")[1] for e in events] == ["partial_image"] * 3 + ["completed"]
    revealed = [e.model_extra["revealed"] for e in events[:3] if e.model_extra]
    assert revealed == sorted(revealed) and 0 < revealed[0] < revealed[-1] < 1
    whole = live.client.images.generate(model="slow", prompt="shirt", extra_body=asked)
    assert whole.data is not None
    assert events[-1].b64_json == whole.data[0].b64_json


@pytest.mark.parametrize("stream", [False, True])
def test_hanging_up_frees_the_engine(live: Live, stream: bool) -> None:
    body = {"model": "slow", "prompt": "shirt", "num_inference_steps": 16, "stream": stream}
    live.wait_idle()
    live.engine.scheduler.log.clear()
    with httpx2.Client() as client:
        if stream:
            with client.stream("POST", f"{live.url}/v1/images/generations", json=body) as answer:
                next(answer.iter_bytes())
        else:
            with pytest.raises(httpx2.TimeoutException):
                client.post(f"{live.url}/v1/images/generations", json=body, timeout=4 * STEP_SECONDS)
    live.wait_idle()
    kinds = [record.kind for record in live.engine.scheduler.log]
    assert kinds.count(Kind.STEP) < 16
    assert Kind.FINISH not in kinds
    assert "maskserve_cancelled_total{" in httpx2.get(f"{live.url}/metrics").text


def test_a_deadline_shortens_what_allows_it(live: Live) -> None:
    client = live.client
    steps = {"num_inference_steps": 16}
    client.images.generate(model="slow", prompt="shirt", extra_body=steps)  # now the engine has measured a step
    begun = time.monotonic()
    client.images.generate(model="slow", prompt="shirt", extra_body=steps)
    too_soon = int((time.monotonic() - begun) * 600)
    asked = {**steps, "deadline_ms": too_soon, "allow_fewer_steps": True}
    answer = client.images.generate(model="slow", prompt="shirt", extra_body=asked)
    assert answer.data is not None and answer.data[0].model_extra is not None
    assert answer.data[0].model_extra["shortened"]
    assert answer.data[0].model_extra["steps"]["full"] < 16
    with pytest.raises(InternalServerError) as late:
        client.images.generate(model="slow", prompt="shirt", extra_body={"deadline_ms": 5})
    assert (late.value.status_code, late.value.code) == (504, "deadline_exceeded")


def test_a_full_queue_is_503_with_retry_after(catalogue: Catalogue) -> None:
    policy = Policy(max_waiting=1, max_sequences=1)
    with serving(catalogue, policy=policy) as server, ThreadPoolExecutor(6) as pool:

        def ask() -> int | str:
            try:
                server.client.images.generate(model="slow", prompt="shirt")
            except InternalServerError as error:
                assert error.code == "queue_full"
                assert 1 <= int(error.response.headers["retry-after"]) <= 60
                return error.status_code
            return 200

        statuses = [future.result() for future in [pool.submit(ask) for _ in range(6)]]
    assert 503 in statuses and 200 in statuses
    assert set(statuses) == {200, 503}


def test_one_bad_request_disturbs_nobody(live: Live) -> None:
    results: list[str | None] = []

    def good() -> None:
        answer = live.client.images.generate(model="slow", prompt="shirt", extra_body={"seed": 8})
        assert answer.data is not None
        results.append(answer.data[0].b64_json)

    threads = [threading.Thread(target=good) for _ in range(2)]
    threads[0].start()
    for body in ({"prompt": "car"}, {"prompt": "shirt", "plan": "1,2"}, {"prompt": "shirt", "n": 99}):
        assert httpx2.post(f"{live.url}/v1/images/generations", json=body).status_code == 400
    mismatched = {"model": "slow", "prompt": "shirt", "plan": "1,2"}
    files = {"image": png(np.zeros((16, 16, 3), np.uint8)), "mask": mask(CORNER)}
    edit = httpx2.post(f"{live.url}/v1/images/edits", data=mismatched, files=files)
    assert edit.status_code == 400, edit.text
    threads[1].start()
    for thread in threads:
        thread.join(20)
    assert len(results) == 2 and results[0] == results[1]
