"""A real uvicorn on a loopback port over a real engine with tiny random weights."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from openai import OpenAI

from models.catalogue import Catalogue, Entry
from models.decoder import IterativeDecoder
from models.maskgit.family import MaskGIT
from models.spec import DecoderSpec
from service.app import create_app
from service.dispatch.local import LocalDispatcher
from service.engine.engine import Engine
from service.engine.policy import Policy
from service.http.server import Server, bind, make_server, url_of
from service.settings import Settings
from tests.tiny import tiny_checkpoint

STEP_SECONDS = 0.05


class Slow(MaskGIT):
    """The same model with a forward that takes its time, so that tests can step in."""

    def load(self, spec: DecoderSpec, path: Path, device: str, dtype: str) -> IterativeDecoder:
        decoder = super().load(spec, path, device, dtype)
        run = decoder.run

        def slowed(*args: object) -> None:
            time.sleep(STEP_SECONDS)
            run(*args)  # type: ignore[arg-type]

        decoder.run = slowed  # type: ignore[method-assign]
        return decoder


@dataclass(frozen=True)
class Live:
    url: str
    engine: Engine
    server: Server

    @property
    def client(self) -> OpenAI:
        return OpenAI(api_key="none", base_url=f"{self.url}/v1", max_retries=0)

    def wait_idle(self) -> None:
        """Returns when the engine has nothing left."""
        while not self.engine.idle():
            time.sleep(0.005)


Start = Callable[..., Live]


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """`tiny`, and `slow`: the same weights at a walking pace."""
    path = tiny_checkpoint(tmp_path_factory.mktemp("checkpoints"))
    tiny = Catalogue.scan([path]).entries["tiny"]
    slow = Entry(replace(tiny.spec, id="slow"), path, Slow())
    return Catalogue({"tiny": tiny, "slow": slow})


@contextmanager
def running(catalogue: Catalogue, policy: Policy | None = None, **settings: object) -> Iterator[Live]:
    options = Settings(**{"log_level": "error", "drain_seconds": 5.0, **settings})  # type: ignore[arg-type]
    engine = Engine(catalogue, policy, "cpu", threads=1).start()
    app = create_app(options, LocalDispatcher(engine))
    listener = bind("127.0.0.1", 0)
    ready = threading.Event()
    server = make_server(app, ready.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    assert ready.wait(20)
    try:
        yield Live(url_of(listener), engine, server)
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def live(catalogue: Catalogue) -> Iterator[Live]:
    with running(catalogue) as server:
        yield server
