import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer, redis_server
from tests.service.dispatch.places import Place, local, over


@pytest.fixture(scope="session")
def redis_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def url(redis_place: RedisServer) -> str:
    return redis_place.url


@pytest.fixture(params=["local", "queue"])
def place(request: pytest.FixtureRequest) -> Place:
    """Where requests run."""
    if request.param == "local":
        return local
    return over(request.getfixturevalue("url"))


@pytest.fixture
def name() -> str:
    """A request id that nobody had."""
    return f"req_{uuid.uuid4().hex[:12]}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
