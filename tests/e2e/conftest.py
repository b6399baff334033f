"""One live server for the tests that only ask."""

from collections.abc import Iterator

import pytest

from models.catalogue import Catalogue
from tests.live import Live, serving, tiny_and_slow


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return tiny_and_slow(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="session")
def live(catalogue: Catalogue) -> Iterator[Live]:
    with serving(catalogue, drain_seconds=5.0) as server:
        yield server
