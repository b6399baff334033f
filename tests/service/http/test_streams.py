"""Server-sent events, through the SDK and on the wire."""

import asyncio
import json

import httpx2
import numpy as np
import pytest
from openai import APIError, AsyncOpenAI, InternalServerError

from models.spec import DecoderSpec
from service.engine.events import Event, Failed, Preview, Progress, Started, Waiting
from service.engine.request import QueueFull, Ticket
from service.http.sse import unless_gone, with_keepalive
from service.settings import Settings
from tests.fakes_http import FakeDispatcher, artifact, script

pytestmark = pytest.mark.anyio
URL = "/v1/images/generations"


async def test_sdk_stream_with_partials_and_two_pictures(client: AsyncOpenAI) -> None:
    stream = await client.images.generate(prompt="shirt", stream=True, partial_images=3, n=2, extra_body={"seed": 1})
    events = [event async for event in stream]
    assert [e.type for e in events] == (["image_generation.partial_image"] * 3 + ["image_generation.completed"]) * 2
    partial, completed = events[0], events[3]
    assert partial.type == "image_generation.partial_image"
    assert partial.partial_image_index == 0
    assert partial.model_extra is not None
    assert partial.model_extra["steps_total"] == 4
    assert 0 < partial.model_extra["revealed"] <= 1
    assert completed.type == "image_generation.completed"
    assert completed.usage.output_tokens == 16
    assert completed.model_extra is not None
    assert [e.model_extra["image_index"] for e in events if e.model_extra] == [0] * 4 + [1] * 4
    whole = await client.images.generate(prompt="shirt", n=2, extra_body={"seed": 1})
    assert whole.data is not None
    assert completed.b64_json == whole.data[0].b64_json


async def test_progress_adds_places_steps_and_token_grids(http: httpx2.AsyncClient, dispatcher: FakeDispatcher) -> None:
    def told(ticket: Ticket, spec: DecoderSpec) -> list[Event]:
        shown = artifact(ticket.request.seed, 0, spec)
        shown.extra.update(known=np.arange(16) < 4, confidence=np.full(16, 0.12345, np.float32))
        news = [Waiting(ticket.id, 2), Started(ticket.id, 1), Progress(ticket.id, 0, 1, 4, 0.25)]
        return [*news, Preview(ticket.id, 0, 0, 1, 4, 0.25, shown), *script(ticket, spec)[-2:]]

    dispatcher.script = told
    body = {"prompt": "shirt", "stream": True, "seed": 3}
    answer = await http.post(URL, json={**body, "progress": True})
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    kinds = ["queued", "started", "step", "partial_image", "completed"]
    assert [event["type"] for event in events] == [f"image_generation.{kind}" for kind in kinds]
    queued, started, step, partial, _ = events
    assert (queued["place"], started["n"], started["seed"]) == (2, 1, 3)
    assert (step["step"], step["steps_total"], step["revealed"]) == (1, 4, 0.25)
    assert partial["known"] == [True] * 4 + [False] * 12 and partial["confidence"] == [0.123] * 16
    assert dispatcher.tickets[-1].request.partials == 3 and dispatcher.tickets[-1].progress

    quiet = await http.post(URL, json=body)
    assert [line for line in quiet.text.splitlines() if line.startswith("event: ")] == [
        "event: image_generation.partial_image",
        "event: image_generation.completed",
    ]
    assert '"known"' not in quiet.text and not dispatcher.tickets[-1].progress


async def test_edit_events_have_their_own_names(http: httpx2.AsyncClient, client: AsyncOpenAI) -> None:
    made = await http.post(URL, json={"prompt": "shirt"})
    form = {"image_id": made.json()["data"][0]["id"], "prompt": "shirt", "stream": "true", "partial_images": "1"}
    answer = await http.post("/v1/images/edits", files={name: (None, value) for name, value in form.items()})
    names = [line[7:] for line in answer.text.splitlines() if line.startswith("event: ")]
    assert names == ["image_edit.partial_image", "image_edit.completed"]


async def test_the_wire(http: httpx2.AsyncClient) -> None:
    answer = await http.post(URL, json={"prompt": "shirt", "stream": True, "seed": 5})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["x-maskserve-seed"] == "5"
    assert answer.headers["x-request-id"]
    assert "content-length" not in answer.headers
    blocks = [b for b in answer.text.split("\n\n") if b and not b.startswith(":")]
    assert len(blocks) == 1
    name, data = blocks[0].split("\n")
    assert name == "event: image_generation.completed"
    assert json.loads(data.removeprefix("data: "))["type"] == "image_generation.completed"


async def test_a_failure_before_the_first_event_is_an_ordinary_error(
    client: AsyncOpenAI, dispatcher: FakeDispatcher
) -> None:
    dispatcher.script = lambda ticket, spec: [Failed(ticket.id, "deadline_exceeded")]
    with pytest.raises(InternalServerError) as late:
        await client.images.generate(prompt="shirt", stream=True)
    assert late.value.status_code == 504
    dispatcher.refuse = QueueFull(2)
    with pytest.raises(InternalServerError) as full:
        await client.images.generate(prompt="shirt", stream=True)
    assert full.value.code == "queue_full"


async def test_a_failure_after_the_start_is_an_error_event(client: AsyncOpenAI, dispatcher: FakeDispatcher) -> None:
    dispatcher.script = lambda ticket, spec: [
        Progress(ticket.id, 0, 1, 4, 0.25),
        Failed(ticket.id, "out_of_memory", "at 0xdeadbeef"),
    ]
    stream = await client.images.generate(prompt="shirt", stream=True)
    with pytest.raises(APIError, match="out of memory") as caught:
        _ = [event async for event in stream]
    assert caught.value.code == "out_of_memory"


async def test_a_bug_after_the_start_is_an_error_event(http: httpx2.AsyncClient, dispatcher: FakeDispatcher) -> None:
    def broken(ticket, spec):  # type: ignore[no-untyped-def]
        good = next(e for e in script(ticket, spec) if isinstance(e, Preview))
        return [good, Preview(ticket.id, 0, 1, 1, 4, 0.5, None)]  # type: ignore[arg-type]

    dispatcher.script = broken
    body = {"prompt": "shirt", "stream": True, "partial_images": 1}
    answer = await http.post(URL, json=body)
    assert answer.status_code == 200
    assert '"code":"internal_error"' in answer.text
    assert "AttributeError" not in answer.text


@pytest.mark.parametrize("settings", [Settings(keepalive_seconds=0.01, log_level="error")])
async def test_silence_is_filled_with_comments(settings: Settings) -> None:
    async def slow():  # type: ignore[no-untyped-def]
        yield 1
        await asyncio.sleep(0.05)
        yield 2

    seen = [item async for item in with_keepalive(slow(), settings.keepalive_seconds)]
    assert [item for item in seen if item] == [1, 2]
    assert None in seen


async def test_hanging_up_closes_the_subscription(settings: Settings, dispatcher: FakeDispatcher) -> None:
    from service.app import create_app

    dispatcher.hold = 2
    for stream in (False, True):
        app = create_app(settings, dispatcher)
        body = json.dumps({"prompt": "shirt", "stream": stream, "n": 2}).encode()
        await asyncio.wait_for(_leave_early(app, body), 5)
        assert dispatcher.subscriptions[-1].closed
        metrics = app.state.services.metrics.exposition().decode()
        assert 'maskserve_cancelled_total{stage="run"} 1.0' in metrics
        assert 'code="499"' in metrics
        app.state.services.pool.close()


async def _leave_early(app, body: bytes) -> None:  # type: ignore[no-untyped-def]
    """An ASGI client that reads nothing and hangs up after a moment."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, object]:
        if messages:
            return messages.pop(0)
        await asyncio.sleep(0.05)
        return {"type": "http.disconnect"}

    async def send(message: object) -> None: ...

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "method": "POST",
        "path": URL,
        "raw_path": URL.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("test", 80),
        "client": ("test", 1),
    }
    await app(scope, receive, send)


async def test_unless_gone_passes_results_and_errors_through() -> None:
    async def never() -> dict[str, object]:
        await asyncio.Event().wait()
        return {}

    async def fine() -> int:
        return 5

    async def broken() -> int:
        raise KeyError("x")

    assert await unless_gone(never, fine()) == 5  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        await unless_gone(never, broken())  # type: ignore[arg-type]
