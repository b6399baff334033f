"""MAR through the front door: imported from official files by the command line, then asked for over HTTP."""

import json
import time
from base64 import b64decode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import torch
from PIL import Image

from service.media.tags import read_tags
from tests.cli import refused, run
from tests.e2e.asks import png
from tests.live import Live, serving
from tests.models.mar.build import HEADS, official_state
from tests.tiny import tiny_checkpoint

SIDE = 8
HEAD = ",".join(map(str, HEADS))


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Serves what `maskserve import` made of files as the official ones are, beside a MaskGIT."""
    place = tmp_path_factory.mktemp("official")
    torch.save({"model": official_state("vae")}, place / "kl16.ckpt")
    torch.save({"model_ema": official_state("mar"), "epoch": 400}, place / "checkpoint-last.pth")
    models = place / "models"
    made = run("import", "kl", place / "kl16.ckpt", models / "kl-16", "--resolution", SIDE)
    assert made.exit_code == 0, made.output
    made = run(
        *("import", "mar", place / "checkpoint-last.pth", models / "mar", "--tokenizer", models / "kl-16"),
        *("--heads", HEAD, "--licence", "MIT"),
    )
    assert made.exit_code == 0 and "licence: MIT" in made.stdout, made.output
    assert run("check", models / "mar").stdout.endswith("served as mar\n")
    tiny_checkpoint(models)
    with serving([models]) as found:
        yield found


def post(
    live: Live, path: str = "generations", files: dict[str, bytes] | None = None, **fields: Any
) -> httpx2.Response:
    url = f"{live.url}/v1/images/{path}"
    body = {"model": "mar", **fields}
    if files is None:
        return httpx2.post(url, json=body, timeout=60)
    parts: dict[str, Any] = {name: (None, str(value).encode()) for name, value in body.items()}
    parts |= {name: (f"{name}.png", file, "image/png") for name, file in files.items()}
    return httpx2.post(url, files=parts, timeout=60)


def pixels(one: dict[str, Any]) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(b64decode(one["b64_json"]))))


def ok(answer: httpx2.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


def test_it_says_what_it_takes(live: Live) -> None:
    facts = httpx2.get(f"{live.url}/v1/models/mar").json()["maskserve"]
    assert facts["limits"]["max_diffusion_steps"] == 1000 and facts["grid"] == [4, 4]
    assert facts["defaults"]["diffusion_steps"] == 100 and "top_k" not in facts["defaults"]
    other = httpx2.get(f"{live.url}/v1/models/tiny").json()["maskserve"]
    assert other["limits"]["max_diffusion_steps"] == 0 and "diffusion_steps" not in other["defaults"]


def test_plans_and_seeds_reproduce_pictures(live: Live) -> None:
    body = {"prompt": "class 2", "seed": 5, "n": 2, "num_inference_steps": 6, "reuse": 1, "diffusion_steps": 6}
    first = ok(post(live, **body))
    assert first[0]["plan"] == "1+2,2+3,4+4" and first[0]["steps"] == {"full": 3, "reuse": 3}
    again = ok(post(live, **{**body, "plan": first[0]["plan"], "num_inference_steps": 2}))
    assert all(np.array_equal(pixels(one), pixels(other)) for one, other in zip(again, first, strict=True))
    assert not np.array_equal(pixels(first[0]), pixels(first[1]))
    assert ok(post(live, **{**body, "diffusion_steps": 7}))[0]["b64_json"] != first[0]["b64_json"]


def test_an_edit_keeps_the_pixels_outside_the_mask(live: Live) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    mask = np.full((SIDE, SIDE, 4), 255, np.uint8)
    mask[2:5, 3:7, 3] = 0
    files = {"image": png(picture), "mask": png(mask)}
    [made] = ok(post(live, "edits", files, prompt="class 1", seed=1, diffusion_steps=5))
    hole = mask[:, :, 3] == 0
    assert np.array_equal(pixels(made)[~hole], picture[~hole]) and not np.array_equal(pixels(made)[hole], picture[hole])
    by_id = post(live, "edits", {"mask": png(mask)}, image_id=made["id"], prompt="class 1", seed=2, diffusion_steps=5)
    [again] = ok(by_id)
    assert np.array_equal(pixels(again)[~hole], picture[~hole])


def test_a_variation_of_a_result(live: Live) -> None:
    [made] = ok(post(live, prompt="class 0", seed=1, diffusion_steps=5))
    few = {"image_id": made["id"], "seed": 3, "diffusion_steps": 5}
    near, far = (pixels(ok(post(live, "variations", {}, **few, strength=s))[0]) for s in (0.1, 1.0))
    own = pixels(made).astype(int)
    assert 0 < np.abs(near.astype(int) - own).mean() < np.abs(far.astype(int) - own).mean()


def test_progress_shows_tokens_as_they_are_decided(live: Live) -> None:
    body = {"model": "mar", "prompt": "class 3", "stream": True, "progress": True, "num_inference_steps": 4}
    frames, final = [], {}
    with httpx2.stream("POST", f"{live.url}/v1/images/generations", json=body, timeout=60) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: {"):
                event = json.loads(line.removeprefix("data: "))
                if event["type"].endswith(".partial_image"):
                    frames.append(event)
                if event["type"].endswith(".completed"):
                    final = event
    assert frames and [sum(frame["known"]) for frame in frames] == sorted(sum(frame["known"]) for frame in frames)
    assert all(max(frame["order"]) == frame["step"] for frame in frames) and "confidence" not in frames[0]
    assert sum(final["known"]) == 16 and max(final["order"]) == 4


def test_a_job_of_it_can_be_fetched_later(live: Live) -> None:
    headers = {"prefer": "respond-async"}
    body = {"model": "mar", "prompt": "class 1", "seed": 4, "diffusion_steps": 5}
    job = httpx2.post(f"{live.url}/v1/images/generations", json=body, headers=headers, timeout=60).json()
    live.wait_idle()
    file = httpx2.get(f"{live.url}/v1/jobs/{job['id']}/content", timeout=60).content
    assert file == b64decode(ok(post(live, **{k: v for k, v in body.items() if k != "model"}))[0]["b64_json"])
    assert read_tags(file)["sampling"]["diffusion_steps"] == 5  # type: ignore[index]


def test_a_deadline_shortens_and_a_short_one_fails(live: Live) -> None:
    slow = {"prompt": "class 1", "num_inference_steps": 16, "diffusion_steps": 200}
    started = time.monotonic()
    ok(post(live, **slow))  # its pace is known now
    half = int(500 * (time.monotonic() - started))
    shortened = ok(post(live, **slow, deadline_ms=half))[0]
    assert shortened["shortened"] and sum(shortened["steps"].values()) < 16
    late = post(live, **{**slow, "diffusion_steps": 1000}, deadline_ms=30)
    assert late.status_code == 504 and late.json()["error"]["code"] == "deadline_exceeded"


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"num_inference_steps": 17}, "num_inference_steps", "mar takes between 1 and 16 steps"),
        ({"diffusion_steps": 1}, "diffusion_steps", "2"),
        ({"diffusion_steps": 1001}, "diffusion_steps", "mar takes at most 1000 diffusion steps"),
        ({"diffusion_reuse": 0.0}, "diffusion_reuse", "greater than 0"),
        ({"top_k": 3}, "top_k", "mar has no top_k: it takes diffusion_clip, diffusion_reuse, diffusion_steps"),
        ({"choice_temperature": 3.0}, "choice_temperature", "mar has no choice_temperature"),
        ({"plan": "4,4"}, "plan", "reveals 8 of 16 tokens"),
        ({"plan": "4;12"}, "plan", "a plan reads like"),
        ({"prompt": "zebra"}, "prompt", "class 0, class 1"),
        ({"model": "tiny", "prompt": "bag", "diffusion_steps": 5}, "diffusion_steps", "tiny has no diffusion_steps"),
    ],
)
def test_bad_input_names_its_field(live: Live, fields: dict[str, Any], param: str, says: str) -> None:
    answer = post(live, **{"prompt": "class 1", **fields})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param) and says in error["message"]


def test_a_mask_that_does_not_fit_is_refused(live: Live) -> None:
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    for mask, code in (
        (np.zeros((SIDE * 2, SIDE, 4), np.uint8), "image_mask_size_mismatch"),
        (np.full((SIDE, SIDE, 4), 255, np.uint8), "mask_empty"),
    ):
        answer = post(live, "edits", {"image": png(picture), "mask": png(mask)}, prompt="class 1")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


def test_a_plan_that_does_not_fit_a_mask_names_the_plan(live: Live) -> None:
    picture, mask = np.zeros((SIDE, SIDE, 3), np.uint8), np.full((SIDE, SIDE, 4), 255, np.uint8)
    mask[:2, :2, 3] = 0  # one token
    answer = post(live, "edits", {"image": png(picture), "mask": png(mask)}, prompt="class 1", plan="16")
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "plan")
    assert error["message"] == "the plan reveals 16 tokens, the request leaves 1 unknown"


def test_truncated_official_files_are_one_line(tmp_path: Path) -> None:
    for layout, part, nested in (("mar", "mar", "model_ema"), ("kl", "vae", "model")):
        source = tmp_path / f"{layout}.pth"
        torch.save({nested: official_state(part)}, source)
        whole = source.read_bytes()
        more = ["--tokenizer", tmp_path] if layout == "mar" else []
        for size in (0, 10, len(whole) // 2, len(whole) - 1):
            source.write_bytes(whole[:size])
            said = refused("import", layout, source, tmp_path / "out", *more)
            assert source.name in said and not (tmp_path / "out").exists()
