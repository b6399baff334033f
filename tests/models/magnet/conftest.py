"""One torch thread, and the recorded network."""

from collections.abc import Iterator

import pytest
import torch

from models.magnet.network import MAGNeT
from tests.models.magnet.build import official_network


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> MAGNeT:
    return official_network(tmp_path_factory.mktemp("magnet"))
