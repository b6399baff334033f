"""The page's files, and the engine's reports."""

import json

import httpx2
import pytest

from models.decoder import Kind
from service.engine.batch import StepRecord
from service.engine.entry import Lane
from service.observe.activity import Activity
from service.settings import Settings
from tests.fakes_http import FakeDispatcher

pytestmark = pytest.mark.anyio


def record(samples: int, full: int) -> StepRecord:
    return StepRecord(
        Lane("toy", Kind.STEP, "step"), samples, full, 17 * full + 5 * (samples - full), ("a",), 0.01, 0.012, 3.5
    )


async def test_the_page_and_its_parts_are_served_with_a_strict_policy(http: httpx2.AsyncClient) -> None:
    page = await http.get("/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for path in ("/web/style.css", "/web/js/main.js", "/web/icon.svg"):
        assert (await http.get(path)).status_code == 200, path
    again = await http.get(
        "/web/style.css", headers={"if-none-match": (await http.get("/web/style.css")).headers["etag"]}
    )
    assert again.status_code == 304


@pytest.mark.parametrize("path", ["/web/nothing.js", "/web/../app.py", "/web/%2e%2e/app.py", "/web/"])
async def test_nothing_else_is_served(http: httpx2.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize("settings", [Settings(playground=False, log_level="error")])
async def test_the_page_can_be_switched_off(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/")).status_code == 404
    assert (await http.get("/web/style.css")).status_code == 404


async def test_the_engines_report_counts_and_names_nobody(http: httpx2.AsyncClient, dispatcher: FakeDispatcher) -> None:
    for listener in dispatcher.listeners:
        listener(record(6, 4))
    answer = await http.get("/v1/engine")
    [batch] = answer.json()["batches"]
    assert (batch["model"], batch["kind"], batch["samples"], batch["full"], batch["ms"]) == ("toy", "step", 6, 4, 12.0)
    assert "requests" not in answer.text


async def test_a_stream_of_reports_ends_when_the_server_shuts_down(
    http: httpx2.AsyncClient, transport: httpx2.ASGITransport, dispatcher: FakeDispatcher
) -> None:
    dispatcher.listeners[-1](record(6, 4))
    transport.app.state.services.gate.close()  # type: ignore[attr-defined]
    answer = await http.get("/v1/engine?stream=true&interval=0.1")
    assert answer.headers["content-type"].startswith("text/event-stream")
    [event] = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert event["type"] == "engine.report" and not event["ready"] and len(event["batches"]) == 1


async def test_an_interval_out_of_range_is_named(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/v1/engine?stream=true&interval=0")
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "interval"


def test_watchers_read_on_from_where_they_were() -> None:
    activity = Activity(kept=3)
    for samples in range(1, 6):
        activity.stepped(record(samples, samples))
    assert [(at, batch.samples) for at, batch in activity.since(0)] == [(3, 3), (4, 4), (5, 5)]
    assert [at for at, _ in activity.since(4)] == [5]
    assert activity.since(5) == []
