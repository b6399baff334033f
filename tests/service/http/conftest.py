"""Contract tests: the real app over a scripted dispatcher, no model, no port."""

from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
from openai import AsyncOpenAI

from service.app import create_app
from service.settings import Settings
from tests.fakes_http import FakeDispatcher


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def dispatcher() -> FakeDispatcher:
    return FakeDispatcher()


@pytest.fixture
def settings() -> Settings:
    return Settings(log_level="error")


@pytest.fixture
def transport(settings: Settings, dispatcher: FakeDispatcher) -> Iterator[httpx2.ASGITransport]:
    app = create_app(settings, dispatcher)
    yield httpx2.ASGITransport(app)
    app.state.services.pool.close()


@pytest.fixture
async def http(transport: httpx2.ASGITransport) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.fixture
async def client(http: httpx2.AsyncClient) -> AsyncOpenAI:
    return AsyncOpenAI(api_key="none", base_url="http://test/v1", http_client=http, max_retries=0)
