"""One torch thread, and the recorded networks."""

from collections.abc import Iterator

import pytest
import torch

from models.mcvd.network import MCVD
from tests.models.mcvd.build import NAMES, official_network


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, MCVD]:
    return {name: official_network(name, tmp_path_factory.mktemp(name)) for name in NAMES}


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def network(name: str, networks: dict[str, MCVD]) -> MCVD:
    return networks[name]
