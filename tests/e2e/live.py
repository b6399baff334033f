"""A real server on a free port: uvicorn in a thread, the local dispatcher, an engine with its own thread."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import torch
import uvicorn

from models.catalogue import Catalogue
from service.app import create_app
from service.dispatch.local import LocalDispatcher
from service.engine.engine import Engine
from service.engine.policy import Policy
from service.http.server import FLUSH_SECONDS, Server, bind, url_of
from service.settings import Settings


@dataclass
class Live:
    url: str
    engine: Engine

    def client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self.url, timeout=120.0)


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
def serving(models: list[Path], threads: int = 1, policy: Policy | None = None, **settings: Any) -> Iterator[Live]:
    """Serve checkpoints (or directories of them) until the block ends; the drain waits for nobody."""
    with one_thread_count(threads):
        engine = Engine(Catalogue.scan(models), policy, "cpu", threads=threads).start()
        chosen = Settings(models=models, log_level="error", drain_seconds=0.0, **settings)
        app = create_app(chosen, LocalDispatcher(engine))
        listener, up = bind("127.0.0.1", 0), threading.Event()
        config = uvicorn.Config(
            app, log_level="error", access_log=False, lifespan="on", timeout_graceful_shutdown=FLUSH_SECONDS
        )
        server = Server(config, app.state.services, up.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="server")
        thread.start()
        try:
            assert up.wait(120), "the server did not start"
            yield Live(url_of(listener), engine)
        finally:
            server.should_exit = True
            thread.join(120)
            engine.stop()
            listener.close()
