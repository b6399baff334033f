"""One team of two workers, and one process without Redis, for all tests here: each leaves them as it found them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.team import Team, alone, team
from tests.redis_server import free_port
from tests.service.webhooks.conftest import authority, ca, tls
from tests.tiny import tiny_mcvd_checkpoint

__all__ = ["authority", "ca", "tls"]
CLIPS = "clips"  # a model of random weights
HOOK_SECRET = "whsec_YSBzZWNyZXQgb2YgdHdlbnR5LWZvdXIgYnl0ZXM="


@pytest.fixture(scope="session")
def hook_port() -> int:
    """Where a receiver of webhooks may listen."""
    return free_port()


@pytest.fixture(scope="session")
def hooks(hook_port: int, ca: Path) -> dict[str, str]:
    """Settings of servers that deliver there."""
    return {
        "MASKSERVE_WEBHOOK_SECRET": HOOK_SECRET,
        "MASKSERVE_WEBHOOK_HOSTS": f"localhost:{hook_port}",
        "MASKSERVE_WEBHOOK_NETWORKS": "127.0.0.0/8,::1/128",
        "MASKSERVE_WEBHOOK_CA": str(ca),
    }


@pytest.fixture(scope="session")
def two(hooks: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    clips = tiny_mcvd_checkpoint(tmp_path_factory.mktemp("models"), CLIPS)
    options = ("--models", str(clips))
    with team(tmp_path_factory.mktemp("team"), workers=2, appendonly=True, options=options, settings=hooks) as made:
        yield made


@pytest.fixture(scope="session")
def one(hooks: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with alone(tmp_path_factory.mktemp("alone"), settings=hooks) as made:
        yield made


@pytest.fixture(params=["one", "two"])
def either(request: pytest.FixtureRequest) -> Team:
    made: Team = request.getfixturevalue(request.param)
    return made
