"""Requests for sound that end early or are short of time, by a model that takes its time for every step."""

import json
import time
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from models.catalogue import Catalogue, Entry
from models.decoder import IterativeDecoder
from models.magnet.family import MAGNeTFamily
from models.spec import DecoderSpec
from tests.live import STEP_SECONDS, Live, serving, slowed
from tests.tiny import tiny_magnet_checkpoint

STEPS = [16, 8, 8, 8]


class Slow(MAGNeTFamily):
    def load(self, spec: DecoderSpec, path: Path, device: str, dtype: str) -> IterativeDecoder:
        return slowed(super().load(spec, path, device, dtype))


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    place = tmp_path_factory.mktemp("slow")
    [entry] = Catalogue.scan([tiny_magnet_checkpoint(place, twin=True)]).entries.values()
    with serving(Catalogue({"slow": Entry(replace(entry.spec, id="slow"), entry.path, Slow())})) as made:
        httpx2.post(f"{made.url}/v1/audio/generations", json={"prompt": "slow", "codebook_steps": [1] * 4}, timeout=60)
        yield made


def body(**more: object) -> dict[str, object]:
    return {"prompt": "slow piano", "seed": 3, "codebook_steps": STEPS, **more}


@pytest.mark.parametrize("more", [{}, {"head_start": 1.0}], ids=["steps", "beginning"])
def test_who_hangs_up_costs_no_more_than_a_step(live: Live, more: dict[str, object]) -> None:
    asked = body(stream=True, progress=True, **more)
    with httpx2.stream("POST", f"{live.url}/v1/audio/generations", json=asked, timeout=60) as answer:
        for line in answer.iter_lines():
            if "step" in line or ("started" in line and more):
                break
    left = time.monotonic()
    live.wait_idle(10)
    assert time.monotonic() - left < len(STEPS) * 8 * STEP_SECONDS, "it was not made to its end"


def test_a_deadline_takes_steps_from_codebooks_that_have_not_begun(live: Live) -> None:
    answer = httpx2.post(f"{live.url}/v1/audio/generations", json=body(deadline_ms=1700), timeout=60)
    assert answer.status_code == 200, answer.text
    [made] = answer.json()["data"]
    steps = made["codebook_steps"]
    assert made["shortened"] and min(steps) >= 1
    assert sum(steps) < sum(STEPS) and all(few <= many for few, many in zip(steps, STEPS, strict=True))
    again = httpx2.post(f"{live.url}/v1/audio/generations", json=body(codebook_steps=steps), timeout=60)
    assert again.json()["data"][0]["codebook_steps"] == steps
    assert _samples(again.json()["data"][0]["b64_json"]) == _samples(made["b64_json"]), "what was made can be repeated"


def test_a_deadline_without_leave_to_shorten_is_missed(live: Live) -> None:
    asked = body(deadline_ms=300, allow_fewer_steps=False)
    answer = httpx2.post(f"{live.url}/v1/audio/generations", json=asked, timeout=60)
    assert answer.status_code in (408, 503, 504), answer.text
    live.wait_idle(10)


def test_a_job_can_be_cancelled(live: Live) -> None:
    headers = {"Prefer": "respond-async"}
    answer = httpx2.post(f"{live.url}/v1/audio/generations", json=body(), headers=headers, timeout=60)
    assert answer.status_code == 202, answer.text
    id = answer.json()["id"]
    assert httpx2.delete(f"{live.url}/v1/jobs/{id}", timeout=60).is_success
    live.wait_idle(10)
    job = httpx2.get(f"{live.url}/v1/jobs/{id}").json()
    assert (job["status"], job["error"]["code"]) == ("failed", "cancelled")


def _samples(file: str) -> bytes:
    """Without the tags, which say how it came about."""
    content = b64decode(file)
    at = content.index(b"data")
    return content[at : at + 8 + int.from_bytes(content[at + 4 : at + 8], "little")]


def test_events_are_json(live: Live) -> None:
    asked = body(stream=True, codebook_steps=[1] * 4)
    with httpx2.stream("POST", f"{live.url}/v1/audio/generations", json=asked, timeout=60) as answer:
        kinds = [json.loads(line[6:])["type"] for line in answer.iter_lines() if line.startswith("data: {")]
    assert kinds[-1] == "audio_generation.completed"
