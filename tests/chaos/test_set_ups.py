"""One client, several set-ups: one process, and two workers with any store. The answers are the same, to the byte."""

import asyncio
import base64
import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.webhooks.signing import Secret, verify
from tests.chaos.client import Client
from tests.chaos.team import alone, team
from tests.service.webhooks.conftest import authority, ca, tls
from tests.service.webhooks.receiver import Receiver, served

__all__ = ["authority", "ca", "tls"]  # fixtures

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[bytes]]:
    with alone(tmp_path_factory.mktemp("alone")) as one:
        return Client(one.url).day("first")


@pytest.mark.parametrize("store", ["redis", "folder"])
def test_the_same_script_makes_the_same_pictures(tmp_path: Path, expected: dict[str, list[bytes]], store: str) -> None:
    options = () if store == "redis" else ("--artefacts", str(tmp_path / "artefacts"))
    with team(tmp_path, workers=2, options=options) as two:
        assert Client(two.url).day("first") == expected
        assert sum(map(len, expected.values())) == 13


@pytest.mark.parametrize("place", [alone, team], ids=["alone", "team"])
async def test_a_webhook_is_told_of_the_end(
    place: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ca: Path,
    tls: Callable[..., ssl.SSLContext],
) -> None:
    """Over real HTTPS, signed, with a link that leads to the picture."""
    secret = "whsec_" + base64.b64encode(b"a secret of twenty-four bytes").decode()
    async with served(Receiver(), tls("localhost")) as receiver:
        monkeypatch.setenv("MASKSERVE_WEBHOOK_SECRET", secret)
        monkeypatch.setenv("MASKSERVE_WEBHOOK_HOSTS", f"localhost:{receiver.port}")
        monkeypatch.setenv("MASKSERVE_WEBHOOK_NETWORKS", "127.0.0.0/8,::1/128")
        monkeypatch.setenv("MASKSERVE_WEBHOOK_CA", str(ca))
        with place(tmp_path) as one:
            body = {"prompt": "bag", "num_inference_steps": 4, "webhook": f"https://localhost:{receiver.port}/hook"}
            async with httpx2.AsyncClient(base_url=one.url, timeout=60) as http:
                accepted = await http.post("/v1/images/generations", json=body, headers={"prefer": "respond-async"})
                elsewhere = body | {"webhook": "https://elsewhere.example/"}
                refused = await http.post("/v1/images/generations", json=elsewhere, headers={"prefer": "respond-async"})
                while not receiver.messages:
                    await asyncio.sleep(0.02)
                [message] = receiver.messages
                told = json.loads(message.body)
                picture = await http.get(told["data"]["result"]["data"][0]["url"])
    assert accepted.status_code == 202 and refused.json()["error"]["param"] == "webhook"
    assert verify(Secret.parse(secret), message.headers, message.body, time.time()) == accepted.json()["id"]
    assert told["type"] == "job.completed" and told["data"]["id"] == accepted.json()["id"]
    assert picture.content.startswith(b"\x89PNG")


def test_a_worker_tells_how_it_is(tmp_path: Path) -> None:
    with team(tmp_path, workers=0) as two:
        two.start_worker("--probe-port", "0")
        [log] = two.place.glob("worker-*.log")
        line = next(line for line in log.read_text().splitlines() if "probe: " in line)
        url = line.split()[-1]
        two.ask(prompt="bag", num_inference_steps=4)
        health = httpx2.get(url).json()
        assert health == {"status": "ok", "running": 0, "slots": 16, "device": "cpu"}
        metrics = httpx2.get(url.replace("/health", "/metrics")).text
        assert 'maskserve_samples_total{model="maskgit-fashion"} 1.0' in metrics
        assert 'maskserve_steps_total{kind="full",model="maskgit-fashion"} 4.0' in metrics
