"""Everything around the pictures: models, health, metrics, keys, ids, routes, CORS, draining, imports."""

import json
import subprocess
import sys
from hashlib import sha256
from io import StringIO
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, AuthenticationError, NotFoundError

from models.catalogue import Catalogue
from service.app import create_app, create_openapi
from service.observe.logs import make_logger
from service.settings import Settings
from tests.fakes_http import FakeDispatcher, variant

pytestmark = pytest.mark.anyio
URL = "/v1/images/generations"
KEYS = Settings(api_keys=["key-one", "sha256:" + sha256(b"key-two").hexdigest()], log_level="error")
OPEN = Settings(cors_origins=["http://chat.example"], log_level="error")


async def test_sdk_lists_and_retrieves_models(client: AsyncOpenAI) -> None:
    models = [model async for model in client.models.list()]
    assert [m.id for m in models] == ["toy", "org/other"]
    other = await client.models.retrieve("org/other")
    assert other.model_extra is not None
    capabilities = other.model_extra["maskserve"]
    assert capabilities["sizes"] == ["auto", "8x8"]
    assert capabilities["classes"] == ["shirt", "sneaker", "ankle boot"]
    assert capabilities["limits"]["max_steps"] == 16
    assert capabilities["checkpoint"] == "0123456789abcdef"
    assert capabilities["noncommercial"] is False
    with pytest.raises(NotFoundError) as caught:
        await client.models.retrieve("nope")
    assert caught.value.code == "model_not_found"


test_sdk_lists_and_retrieves_models = pytest.mark.parametrize(
    "dispatcher", [FakeDispatcher.serving(variant(), variant(id="org/other"))]
)(test_sdk_lists_and_retrieves_models)


@pytest.mark.parametrize("settings", [Settings(allow_noncommercial=False, log_level="error")])
@pytest.mark.parametrize("dispatcher", [FakeDispatcher.serving(variant(noncommercial=True))])
async def test_noncommercial_models_can_be_refused(
    http: httpx2.AsyncClient, settings: Settings, dispatcher: FakeDispatcher
) -> None:
    answer = await http.post(URL, json={"prompt": "shirt"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (403, "permission_error")


@pytest.mark.parametrize("dispatcher", [FakeDispatcher(Catalogue())])
async def test_a_server_without_models_says_so(http: httpx2.AsyncClient, dispatcher: FakeDispatcher) -> None:
    assert (await http.get("/v1/models")).json() == {"object": "list", "data": []}
    answer = await http.post(URL, json={"prompt": "shirt"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("POST", "/v1/chat/completions", 404, "not_found"),
        ("GET", URL, 405, "method_not_allowed"),
        ("HEAD", URL, 405, None),
        ("DELETE", "/v1/models/toy", 405, "method_not_allowed"),
        ("GET", "/v1/models/", 404, "model_not_found"),
    ],
)
async def test_routes_that_are_none(
    http: httpx2.AsyncClient, method: str, path: str, status: int, code: str | None
) -> None:
    answer = await http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["x-request-id"]
    if code is not None:
        assert answer.json()["error"]["code"] == code
    else:
        assert answer.content == b""
    if status == 405:
        assert answer.headers["allow"]


async def test_head_is_get_without_a_body(http: httpx2.AsyncClient) -> None:
    answer = await http.head("/v1/models")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_health_ready_and_metrics(http: httpx2.AsyncClient, dispatcher: FakeDispatcher) -> None:
    assert (await http.get("/health")).json()["status"] == "ok"
    assert (await http.get("/ready")).status_code == 200
    await http.post(URL, json={"prompt": "shirt", "n": 2})
    await http.post(URL, json={"prompt": "car"})
    text = (await http.get("/metrics")).text
    answered = f'maskserve_requests_total{{code="200",endpoint="{URL}",model="toy"}} 1.0'
    assert answered in text
    assert f'maskserve_requests_total{{code="400",endpoint="{URL}",model=""}} 1.0' in text
    assert 'maskserve_samples_total{model="toy"} 2.0' in text
    assert 'maskserve_steps_total{kind="full",model="toy"} 8.0' in text
    assert "maskserve_requests_waiting 0.0" in text
    dispatcher.alive = False
    assert (await http.get("/health")).status_code == 503
    ready = await http.get("/ready")
    assert (ready.status_code, ready.json()["status"]) == (503, "dead")


@pytest.mark.parametrize("settings", [KEYS])
async def test_keys(http: httpx2.AsyncClient, dispatcher: FakeDispatcher, settings: Settings) -> None:
    client = AsyncOpenAI(api_key="wrong", base_url="http://test/v1", http_client=http, max_retries=0)
    with pytest.raises(AuthenticationError) as caught:
        await client.images.generate(prompt="shirt")
    assert caught.value.code == "invalid_api_key"
    assert caught.value.response.headers["www-authenticate"] == "Bearer"
    assert (await http.get("/v1/models")).status_code == 401
    assert (await http.get("/health")).status_code == 200
    owners = []
    for key in ("key-one", "key-two"):
        headers = {"authorization": f"Bearer {key}"}
        made = await http.post(URL, json={"prompt": "shirt"}, headers=headers)
        assert made.status_code == 200
        owners.append(dispatcher.tickets[-1].owner)
    assert len(set(owners)) == 2 and all(owners)
    id = made.json()["data"][0]["id"]
    form = {"image_id": (None, id)}
    for key, status in (("key-one", 404), ("key-two", 200)):
        headers = {"authorization": f"Bearer {key}"}
        vary = await http.post("/v1/images/variations", files=form, headers=headers)
        assert vary.status_code == status


@pytest.mark.parametrize("settings", [OPEN])
async def test_cors(http: httpx2.AsyncClient, settings: Settings) -> None:
    asks = {
        "origin": "http://chat.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    preflight = await http.options(URL, headers=asks)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "http://chat.example"
    assert preflight.headers["x-request-id"]
    error = await http.post(URL, json={}, headers={"origin": "http://chat.example"})
    assert error.headers["access-control-allow-origin"] == "http://chat.example"
    assert "x-request-id" in error.headers["access-control-expose-headers"]
    other = await http.get("/v1/models", headers={"origin": "http://evil.example"})
    assert "access-control-allow-origin" not in other.headers


async def test_no_cors_by_default(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/v1/models", headers={"origin": "http://chat.example"})
    assert "access-control-allow-origin" not in answer.headers


async def test_lifespan_drains_and_a_draining_server_refuses(settings: Settings) -> None:
    dispatcher = FakeDispatcher()
    app = create_app(settings, dispatcher)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as http,
    ):
        app.state.services.gate.close()
        answer = await http.post(URL, json={"prompt": "shirt"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "draining")
        assert int(answer.headers["retry-after"]) <= 60
        assert (await http.get("/ready")).json()["status"] == "draining"
        assert (await http.get("/health")).status_code == 200
    assert dispatcher.drained == [settings.drain_seconds]


async def test_log_lines_hold_no_prompt(settings: Settings) -> None:
    app = create_app(settings, FakeDispatcher())
    out = StringIO()
    object.__setattr__(app.state.services, "log", make_logger("json", "info", out))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as http:
        headers = {"x-client-request-id": "mine-1"}
        answer = await http.post(URL, json={"prompt": "a secret shirt", "seed": 3}, headers=headers)
    app.state.services.pool.close()
    line: dict[str, Any] = json.loads(out.getvalue())
    assert "secret" not in out.getvalue()
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["client_request_id"] == "mine-1"
    assert (line["model"], line["seed"], line["status"], line["steps"]) == ("toy", 3, 200, 4)


def test_openapi_describes_the_routes_without_an_engine() -> None:
    document = create_openapi()
    create = document["paths"][URL]["post"]
    assert set(create["responses"]) >= {"200", "400", "401", "404", "413", "503", "504"}
    assert "422" not in create["responses"]
    assert set(create["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    edit = document["paths"]["/v1/images/edits"]["post"]["requestBody"]["content"]
    assert set(edit) == {"application/json", "multipart/form-data"}
    text = json.dumps(document)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(document["components"]["schemas"])


def test_the_http_layer_imports_without_torch() -> None:
    code = "import sys; import service.app, service.http.server; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
