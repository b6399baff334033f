"""A real server on a free port: uvicorn in a thread, the local dispatcher, an engine with its own thread."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import torch
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
        return slowed(super().load(spec, path, device, dtype))


def slowed(decoder: IterativeDecoder) -> IterativeDecoder:
    """The same, walking."""
    run = decoder.run

    def walk(*args: object) -> None:
        time.sleep(STEP_SECONDS)
        run(*args)  # type: ignore[arg-type]

    decoder.run = walk  # type: ignore[method-assign]
    return decoder


def tiny_and_slow(path: Path) -> Catalogue:
    """`tiny`, and `slow`: the same weights at a walking pace."""
    tiny = Catalogue.scan([tiny_checkpoint(path)]).entries["tiny"]
    slow = Entry(replace(tiny.spec, id="slow"), path / "tiny", Slow())
    return Catalogue({"tiny": tiny, "slow": slow})


@dataclass(frozen=True)
class Live:
    url: str
    engine: Engine
    server: Server

    @property
    def client(self) -> OpenAI:
        return OpenAI(api_key="none", base_url=f"{self.url}/v1", max_retries=0)

    def http(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self.url, timeout=120.0)

    def wait_idle(self, seconds: float = 60.0) -> None:
        """Returns when the engine has nothing left."""
        end = time.monotonic() + seconds
        while not self.engine.idle():
            assert time.monotonic() < end, f"still at work: {self.engine.vitals()}"
            time.sleep(0.005)


@contextmanager
def one_thread_count(threads: int) -> Iterator[None]:
    """torch's thread count is global: set it, and put it back."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def serving(
    models: Catalogue | list[Path], threads: int = 1, policy: Policy | None = None, **settings: Any
) -> Iterator[Live]:
    """Serve a catalogue, or checkpoints, or directories of them, until the block ends."""
    chosen = Settings(**{"log_level": "error", "drain_seconds": 0.0, **settings})
    catalogue = models if isinstance(models, Catalogue) else Catalogue.scan(models).preferring(chosen.default_model)
    with one_thread_count(threads):
        engine = Engine(catalogue, policy, "cpu", threads=threads).start()
        app = create_app(chosen, LocalDispatcher(engine))
        listener, up = bind("127.0.0.1", 0), threading.Event()
        server = make_server(app, up.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="server")
        thread.start()
        try:
            assert up.wait(120), "the server did not start"
            yield Live(url_of(listener), engine, server)
        finally:
            server.should_exit = True
            thread.join(120)
            engine.stop()
            listener.close()
            assert not thread.is_alive()
