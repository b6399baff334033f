"""One team of two workers, and one process without Redis, for all tests here: each leaves them as it found them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.team import Team, alone, team
from tests.redis_server import free_port
from tests.service.webhooks.conftest import authority, ca, tls

__all__ = ["authority", "ca", "tls"]
HOOK_SECRET = "whsec_YSBzZWNyZXQgb2YgdHdlbnR5LWZvdXIgYnl0ZXM="


@pytest.fixture(scope="session")
def hook_port(ca: Path) -> Iterator[int]:
    """Where a receiver of webhooks may listen."""
    port = free_port()
    hooks = {
        "MASKSERVE_WEBHOOK_SECRET": HOOK_SECRET,
        "MASKSERVE_WEBHOOK_HOSTS": f"localhost:{port}",
        "MASKSERVE_WEBHOOK_NETWORKS": "127.0.0.0/8,::1/128",
        "MASKSERVE_WEBHOOK_CA": str(ca),
    }
    os.environ.update(hooks)
    yield port
    for name in hooks:
        del os.environ[name]


@pytest.fixture(scope="session")
def two(hook_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with team(tmp_path_factory.mktemp("team"), workers=2, appendonly=True) as made:
        yield made


@pytest.fixture(scope="session")
def one(hook_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with alone(tmp_path_factory.mktemp("alone")) as made:
        yield made


@pytest.fixture(params=["one", "two"])
def either(request: pytest.FixtureRequest) -> Team:
    made: Team = request.getfixturevalue(request.param)
    return made
