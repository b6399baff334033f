"""Workers are killed, paused and cut off while requests run: nothing is lost, nothing comes twice, no byte differs."""

import base64
import random
import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar
from zipfile import ZipFile

import httpx2
import pytest

from tests.chaos.conftest import CLIPS
from tests.chaos.team import Team

T = TypeVar("T")
pytestmark = pytest.mark.timeout(600)
LONG = {"prompt": "sneaker", "n": 4, "num_inference_steps": 48, "output_format": "png"}


def pictures(answer: httpx2.Response) -> list[bytes]:
    assert answer.status_code == 200, answer.text
    return [base64.b64decode(one["b64_json"]) for one in answer.json()["data"]]


def resumed(answer: httpx2.Response) -> int:
    return min(one["resumed_from_step"] for one in answer.json()["data"])


def steps_of(two: Team) -> int:
    """The most steps that any unfinished request has saved."""
    import redis

    with redis.Redis.from_url(two.server.url) as client:
        found = [client.hmget(key, "step", "over") for key in client.scan_iter("maskserve:job:*")]
    return max((int(step) for step, over in found if step and not over), default=0)


def film(two: Team, **body: Any) -> tuple[bytes, dict[str, Any]]:
    """A video's file, and how it was made."""
    answer = httpx2.post(f"{two.url}/v1/videos", json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    video: dict[str, Any] = answer.json()
    while video["status"] not in ("completed", "failed"):
        time.sleep(0.05)
        video = httpx2.get(f"{two.url}/v1/videos/{video['id']}", timeout=60).json()
    assert video["status"] == "completed", video
    content = httpx2.get(f"{two.url}/v1/videos/{video['id']}/content?format=zip", timeout=60)
    return content.content, video["result"]["data"][0]


def begun(two: Team, pool: ThreadPoolExecutor, until: int = 3, **body: Any) -> "Future[httpx2.Response]":
    """A request that has made some steps."""
    return started(two, pool.submit(two.ask, **body), until)


def started(two: Team, asked: "Future[T]", until: int) -> "Future[T]":
    """It, once it has saved so many steps."""
    end = time.monotonic() + 60
    while steps_of(two) < until:
        assert not asked.done() and time.monotonic() < end, "it was over too soon"
        time.sleep(0.002)
    return asked


@pytest.fixture(scope="module")
def undisturbed(two: Team) -> list[bytes]:
    return pictures(two.ask(**LONG, seed=5))


@pytest.mark.parametrize(
    "asked_for",
    [
        {"model": "maskgit-fashion"},
        {"model": "mar-fashion", "n": 2, "num_inference_steps": 24},
        {"model": "magnet-loops", "what": "audio", "prompt": "flute loop, 96 bpm", "output_format": "wav"},
    ],
    ids=lambda asked_for: asked_for["model"],
)
def test_a_killed_workers_request_goes_on_elsewhere_with_the_same_bytes(two: Team, asked_for: dict[str, Any]) -> None:
    body = {**LONG, **asked_for, "seed": 5}
    undisturbed = pictures(two.ask(**body))
    with ThreadPoolExecutor(1) as pool:
        asked = begun(two, pool, **body)
        for worker in list(two.workers):  # whichever has it
            two.kill(worker)
        killed = time.monotonic()
        two.start_worker()
        answer = asked.result()
    assert pictures(answer) == undisturbed
    assert resumed(answer) > 0
    assert time.monotonic() - killed < 60
    two.start_worker()


@pytest.mark.parametrize("until", [10, 50], ids=["in the first block", "behind it"])
def test_a_killed_workers_video_goes_on_elsewhere_with_the_same_frames(two: Team, until: int) -> None:
    """States are saved at every eighth call of a block, and behind it."""
    body = {"model": CLIPS, "task": "unconditional", "frames": 60, "num_inference_steps": 40, "seed": 5}
    undisturbed, _ = film(two, **body)
    with ThreadPoolExecutor(1) as pool:
        asked = started(two, pool.submit(film, two, **body), until)
        for worker in list(two.workers):
            two.kill(worker)
        two.start_worker()
        again, made = asked.result()
    assert frames_of(again) == frames_of(undisturbed)
    assert made["resumed_from_step"] >= until - 2
    two.start_worker()


def frames_of(archive: bytes) -> dict[str, bytes]:
    """PNGs by name: the tags beside them say how they came about."""
    with ZipFile(BytesIO(archive)) as folder:
        return {name: folder.read(name) for name in folder.namelist() if name.endswith(".png")}


def test_a_paused_worker_publishes_nothing_when_it_wakes(two: Team, undisturbed: list[bytes]) -> None:
    """SIGSTOP past the lease, then SIGCONT: the successor's result is the only one."""
    with ThreadPoolExecutor(1) as pool:
        asked = begun(two, pool, **LONG, seed=5)
        paused = list(two.workers)
        for worker in paused:
            worker.send_signal(signal.SIGSTOP)
        successor = two.start_worker()
        answer = asked.result()
        for worker in paused:
            worker.send_signal(signal.SIGCONT)
        assert pictures(answer) == undisturbed and resumed(answer) > 0
        two.kill(successor)
    assert pictures(two.ask(**LONG, seed=5)) == undisturbed  # the woken ones work on


def test_redis_may_restart_while_requests_run(two: Team, undisturbed: list[bytes]) -> None:
    with ThreadPoolExecutor(1) as pool:
        asked = begun(two, pool, **LONG, seed=5)
        two.server.stop()
        started = time.monotonic()
        away = two.ask(prompt="bag")
        assert away.status_code == 503 and away.json()["error"]["code"] == "queue_unavailable"
        assert time.monotonic() - started < 2.5 and int(away.headers["retry-after"]) > 0
        two.server.start()
        assert pictures(asked.result()) == undisturbed
    assert two.ask(prompt="bag").status_code == 200


def test_a_stopping_worker_hands_back_what_it_cannot_finish(two: Team, undisturbed: list[bytes]) -> None:
    with ThreadPoolExecutor(1) as pool:
        asked = begun(two, pool, **LONG, seed=5)
        for worker in list(two.workers):
            worker.send_signal(signal.SIGTERM)
        two.start_worker()
        assert pictures(asked.result()) == undisturbed
    for worker in list(two.workers)[:-1]:
        assert worker.wait(60) == 0
        two.workers.remove(worker)
    two.start_worker()


def test_kills_at_random_lose_nothing(two: Team) -> None:
    """The short form of `make chaos`."""
    lots, jobs = random.Random(1), [{**LONG, "n": 2, "seed": seed} for seed in range(12)]
    calm = [pictures(two.ask(**job)) for job in jobs[:4]]
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(two.ask, **job) for job in jobs]
        for _ in range(3):
            time.sleep(lots.uniform(0.3, 1.5))
            two.kill(lots.choice(two.workers))
            two.start_worker()
        answers = [one.result() for one in asked]
    assert [answer.status_code for answer in answers] == [200] * len(jobs)
    assert [pictures(answer) for answer in answers[:4]] == calm
    assert len({bytes(p) for answer in answers for p in pictures(answer)}) == 2 * len(jobs)
    assert two.place.exists()


def test_clients_that_leave_are_forgotten(two: Team, tmp_path: Path) -> None:
    with httpx2.stream(
        "POST", f"{two.url}/v1/images/generations", json={**LONG, "stream": True, "progress": True}, timeout=60
    ) as stream:
        next(stream.iter_lines())
    end = time.monotonic() + 20
    import redis

    with redis.Redis.from_url(two.server.url) as client:
        while any(not client.hexists(key, "over") for key in client.scan_iter("maskserve:job:*")):
            assert time.monotonic() < end, "it still runs"
            time.sleep(0.05)
