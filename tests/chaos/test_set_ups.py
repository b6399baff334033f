"""One client, two set-ups: one process, and two workers over Redis. The answers are the same, to the byte."""

import asyncio
import json
import signal
import ssl
import time
from collections.abc import Callable

import httpx2
import pytest

from service.webhooks.signing import Secret, verify
from tests.chaos.client import Client
from tests.chaos.conftest import HOOK_SECRET
from tests.chaos.team import Team
from tests.service.webhooks.receiver import Receiver, served

pytestmark = pytest.mark.timeout(300)


def test_the_same_script_makes_the_same_pictures(one: Team, two: Team) -> None:
    pictures = Client(one.url).day("first")
    assert Client(two.url).day("first") == pictures and sum(map(len, pictures.values())) == 13


async def test_a_webhook_is_told_of_the_end(either: Team, hook_port: int, tls: Callable[..., ssl.SSLContext]) -> None:
    """Over real HTTPS, signed, with a link that leads to the picture."""
    body = {"prompt": "bag", "num_inference_steps": 4, "webhook": f"https://localhost:{hook_port}/hook"}
    later = {"prefer": "respond-async"}
    async with (
        served(Receiver(port=hook_port), tls("localhost")) as receiver,
        httpx2.AsyncClient(base_url=either.url, timeout=60) as http,
    ):
        accepted = await http.post("/v1/images/generations", json=body, headers=later)
        elsewhere = body | {"webhook": "https://elsewhere.example/"}
        refused = await http.post("/v1/images/generations", json=elsewhere, headers=later)
        while not receiver.messages:
            await asyncio.sleep(0.02)
        [message] = receiver.messages
        told = json.loads(message.body)
        picture = await http.get(told["data"]["result"]["data"][0]["url"])
    assert accepted.status_code == 202 and refused.json()["error"]["param"] == "webhook"
    assert verify(Secret.parse(HOOK_SECRET), message.headers, message.body, time.time()).startswith(
        accepted.json()["id"]
    )
    assert told["type"] == "job.completed" and told["data"]["id"] == accepted.json()["id"]
    assert picture.content.startswith(b"\x89PNG")


def test_heads_leave_the_connection_in_order(either: Team) -> None:
    """Load balancers ask so, on connections that others use."""
    with httpx2.Client(base_url=either.url, timeout=20) as http:
        job = http.post("/v1/images/generations", json={"prompt": "bag"}, headers={"prefer": "respond-async"}).json()
        for path in ("/health", "/v1/models", "/v1/jobs", f"/v1/jobs/{job['id']}/events", "/nowhere"):
            head = http.head(path)
            assert head.status_code == (404 if path == "/nowhere" else 200) and not head.content
            assert http.get("/health").json()["status"] == "ok"


def test_a_worker_tells_how_it_is(two: Team) -> None:
    probed, logs = two.start_worker("--probe-port", "0"), sorted(two.place.glob("worker-*.log"))
    text = max(logs, key=lambda log: log.stat().st_mtime_ns).read_text()
    url = next(line for line in text.splitlines() if "probe: " in line).split()[-1]
    others = [worker for worker in two.workers if worker is not probed]
    for worker in others:
        worker.send_signal(signal.SIGSTOP)
    two.ask(prompt="bag", num_inference_steps=4)
    assert httpx2.get(url).json() == {"status": "ok", "running": 0, "slots": 16, "device": "cpu"}
    metrics = httpx2.get(url.replace("/health", "/metrics")).text
    assert 'maskserve_samples_total{model="maskgit-fashion"} 1.0' in metrics
    assert 'maskserve_steps_total{kind="full",model="maskgit-fashion"} 4.0' in metrics
    for worker in others:
        worker.send_signal(signal.SIGCONT)
    two.kill(probed)
