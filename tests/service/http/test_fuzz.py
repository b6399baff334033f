"""Whatever JSON comes: a picture or a 4xx with the error object, never a 5xx."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from service.app import create_app
from service.http.image_requests import ImageGenerationRequest
from service.settings import Settings
from tests.fakes_http import FakeDispatcher

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
plausible = st.integers(0, 12) | st.floats(0, 2) | st.sampled_from(["auto", "png", "high", "1,15", "8x8", "linear"])
names = st.sampled_from(sorted(ImageGenerationRequest.model_fields)) | st.text(max_size=6)
bodies = st.dictionaries(names, values | plausible, max_size=5) | values


@pytest.fixture(scope="module")
def app() -> Iterator[FastAPI]:
    app = create_app(Settings(log_level="error"), FakeDispatcher())
    yield app
    app.state.services.pool.close()


@given(body=bodies, prompted=st.booleans())
def test_any_json_is_answered_properly(app: FastAPI, body: Any, prompted: bool) -> None:
    if prompted and isinstance(body, dict):
        body = {**body, "prompt": "shirt"}
    answer = asyncio.run(_post(app, body))
    if answer.status_code == 200:
        assert answer.content
    else:
        assert 400 <= answer.status_code < 500, answer.text
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]


async def _post(app: FastAPI, body: Any) -> httpx2.Response:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        raw = json.dumps(body)  # infinities included, which clients that follow the standard cannot send
        return await client.post("/v1/images/generations", content=raw, headers={"content-type": "application/json"})
