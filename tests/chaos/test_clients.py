"""Clients that come twice, read slowly, lose their server, come in masses, and a store without room."""

import asyncio
import base64
import json
import os
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import psutil
import pytest

from tests.chaos.client import messages
from tests.chaos.overload import overload
from tests.chaos.team import Team, team

pytestmark = pytest.mark.timeout(300)
URL = "/v1/images/generations"
LONG: dict[str, Any] = {"prompt": "sneaker", "n": 4, "num_inference_steps": 48, "seed": 5}


@pytest.fixture(scope="module")
def undisturbed(two: Team) -> list[str]:
    return [one["b64_json"] for one in two.ask(**LONG).json()["data"]]


def test_duplicates_run_once_wherever_they_come_in(two: Team, undisturbed: list[str]) -> None:
    """The same key at two API processes, at once and again."""
    urls = [two.url, two.another_api()]
    key = {"idempotency-key": "twice"}

    def ask(at: int) -> httpx2.Response:
        return httpx2.post(urls[at % 2] + URL, json=LONG, headers=key, timeout=120)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert all([one["b64_json"] for one in answer.json()["data"]] == undisturbed for answer in answers)
    [id] = {answer.headers["x-maskserve-job"] for answer in answers}
    assert attempts(two, id) == 1
    other = httpx2.post(urls[1] + URL, json=LONG | {"seed": 6}, headers=key)
    assert other.status_code == 409


def attempts(two: Team, id: str) -> int:
    import redis

    assert two.server is not None
    with redis.Redis.from_url(two.server.url) as client:
        return int(client.hget(f"maskserve:job:{id}", "attempts") or 0)


def test_a_stream_survives_its_worker_and_its_server(two: Team, undisturbed: list[str]) -> None:
    """Both are killed in mid-request; the client goes on behind the last event it saw."""
    body, at = LONG | {"stream": True, "progress": True}, ""
    with pytest.raises(httpx2.HTTPError):  # noqa: SIM117
        with httpx2.stream(
            "POST", two.url + URL, json=body, headers={"idempotency-key": "survivor"}, timeout=60
        ) as answer:
            job, killed = answer.headers["x-maskserve-job"], False
            for id, event in messages(answer):
                at = id or at
                if event["type"].endswith(".step") and event["step"] == 12 and not killed:
                    killed = True
                    for worker in list(two.workers):
                        two.kill(worker)
                    two.start_worker()
                elif event["type"].endswith(".step") and event["step"] == 30:
                    two.kill_api()
    two.start_api()
    events = f"{two.url}/v1/jobs/{job}/events"
    with httpx2.stream("GET", events, headers={"last-event-id": at}, timeout=60) as answer:
        done = {
            event["image_index"]: event
            for _, event in messages(answer)
            if event["type"] == "image_generation.completed"
        }
    assert [done[index]["b64_json"] for index in range(4)] == undisturbed
    assert min(event["resumed_from_step"] for event in done.values()) > 0
    two.start_worker()


def test_a_reader_that_reads_nothing_holds_nobody_up(two: Team) -> None:
    """Its stream waits for it, in a bounded place; others are served, and it finds its pictures when it wakes."""
    job = LONG | {"n": 2, "num_inference_steps": 24}
    undisturbed = [one["b64_json"] for one in two.ask(**job).json()["data"]]
    address = urlsplit(two.url)
    body = json.dumps(job | {"stream": True, "progress": True, "partial_images": 3}).encode()
    head = f"POST {URL} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    sleepers = []
    for _ in range(4):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect((address.hostname, address.port))
        one.sendall(head.encode() + b"connection: close\r\n\r\n" + body)
        sleepers.append(one)
    assert two.api is not None
    before = psutil.Process(two.api.pid).memory_info().rss
    for _ in range(3):
        assert [one["b64_json"] for one in two.ask(**job).json()["data"]] == undisturbed
    assert psutil.Process(two.api.pid).memory_info().rss - before < 64 << 20
    for one in sleepers:
        one.settimeout(60)
        text = b"".join(iter(lambda one=one: one.recv(1 << 16), b"")).decode()  # type: ignore[misc]
        one.close()
        done = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ") and "completed" in line]
        assert sorted(event["b64_json"] for event in done) == sorted(undisturbed)


def test_ten_times_too_much_is_answered(two: Team) -> None:
    """The short form of `make chaos`'s three minutes: only 200, 429 and 503 with a Retry-After."""
    found = asyncio.run(overload(two, seconds=6, seconds_before=3))
    assert not found.unexpected and found.statuses[503] > found.statuses[200] > 0
    assert found.codes.keys() <= {"queue_full", "queue_unavailable"} and all(
        1 <= wait <= 60 for wait in found.retry_after
    )


def test_a_store_without_room_fails_its_requests_and_works_again(tmp_path: Path) -> None:
    """The folder lies on a file system of 400 kB."""
    folder = tmp_path / "full"
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.call(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]):
        pytest.skip("no right to mount a small file system")
    try:
        with team(tmp_path, workers=1, options=("--artefacts", str(folder))) as one:
            assert one.ask(prompt="bag", num_inference_steps=4).status_code == 200
            filler = folder / "filler"
            with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="space"):
                while True:
                    file.write(bytes(4096))
            key = {"idempotency-key": "full"}
            body = {"prompt": "bag", "n": 4, "num_inference_steps": 4}
            full = httpx2.post(one.url + URL, json=body, headers=key, timeout=60)
            assert full.status_code == 507 and full.json()["error"]["code"] == "storage_full"
            filler.unlink()
            again = httpx2.post(one.url + URL, json=body, headers=key, timeout=60)
            assert again.status_code == 200 and len(base64.b64decode(again.json()["data"][3]["b64_json"])) > 100
            [worker] = one.workers
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(30) == 0
    finally:
        time.sleep(0.1)
        subprocess.check_call(["umount", str(folder)])
