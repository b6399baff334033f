"""Requests for videos that end early or are short of time, by a model that takes its time for every network call."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from models.catalogue import Catalogue, Entry
from models.decoder import IterativeDecoder
from models.mcvd.family import MCVDFamily
from models.spec import DecoderSpec
from tests.e2e.test_video import frames_of
from tests.live import STEP_SECONDS, Live, serving, slowed
from tests.tiny import tiny_mcvd_checkpoint

STEPS, BLOCKS = 10, 4
WHOLE = STEPS * BLOCKS * STEP_SECONDS


class Slow(MCVDFamily):
    def load(self, spec: DecoderSpec, path: Path, device: str, dtype: str) -> IterativeDecoder:
        return slowed(super().load(spec, path, device, dtype))


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    [entry] = Catalogue.scan([tiny_mcvd_checkpoint(tmp_path_factory.mktemp("slow"))]).entries.values()
    with serving(Catalogue({"slow": Entry(replace(entry.spec, id="slow"), entry.path, Slow())})) as made:
        ended(made, ask(made, num_inference_steps=1, frames=3))
        yield made


def ask(live: Live, **more: Any) -> dict[str, Any]:
    body = {"seed": 3, "frames": 3 * BLOCKS, "num_inference_steps": STEPS, "output_format": "zip", **more}
    answer = httpx2.post(f"{live.url}/v1/videos", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    video: dict[str, Any] = answer.json()
    return video


def ended(live: Live, video: dict[str, Any]) -> dict[str, Any]:
    while video["status"] not in ("completed", "failed"):
        time.sleep(0.02)
        video = httpx2.get(f"{live.url}/v1/videos/{video['id']}").json()
    return video


def content(live: Live, video: dict[str, Any]) -> np.ndarray:
    return frames_of(httpx2.get(f"{live.url}/v1/videos/{video['id']}/content").content)


def test_a_video_that_is_deleted_while_it_is_made_frees_its_place_within_a_step(live: Live) -> None:
    video = ask(live)
    while httpx2.get(f"{live.url}/v1/videos/{video['id']}").json()["progress"] < 10:
        time.sleep(0.01)
    assert httpx2.delete(f"{live.url}/v1/videos/{video['id']}").json()["deleted"]
    left = time.monotonic()
    live.wait_idle(10)
    assert time.monotonic() - left < WHOLE / 4, "it was not made to its end"
    now = httpx2.get(f"{live.url}/v1/videos/{video['id']}").json()
    assert (now["status"], now["error"]["code"]) == ("failed", "cancelled")
    refused = httpx2.get(f"{live.url}/v1/videos/{video['id']}/content")
    assert refused.status_code in (404, 409), refused.text


def test_who_hangs_up_costs_no_more_than_a_step(live: Live) -> None:
    asked = {"frames": 3 * BLOCKS, "num_inference_steps": STEPS, "stream": True, "progress": True}
    with httpx2.stream("POST", f"{live.url}/v1/videos", json=asked, timeout=60) as answer:
        next(line for line in answer.iter_lines() if "generation.step" in line)
    left = time.monotonic()
    live.wait_idle(10)
    assert time.monotonic() - left < WHOLE / 2, "it was not made to its end"


def test_a_deadline_takes_steps_from_blocks_that_have_not_begun(live: Live) -> None:
    video = ended(live, ask(live, deadline_ms=1500))
    assert video["status"] == "completed", video
    [made] = video["result"]["data"]
    steps = made["block_steps"]
    assert made["shortened"] and len(steps) == BLOCKS and min(steps) >= 1
    assert sum(steps) < STEPS * BLOCKS and max(steps) <= STEPS
    again = ended(live, ask(live, block_steps=steps))
    assert again["result"]["data"][0]["block_steps"] == steps
    assert np.array_equal(content(live, again), content(live, video)), "what was made can be repeated"


def test_a_deadline_without_leave_to_shorten_is_missed(live: Live) -> None:
    video = ended(live, ask(live, deadline_ms=300, allow_fewer_steps=False))
    assert video["status"] == "failed" and "deadline" in json.dumps(video["error"])
    live.wait_idle(10)
