"""Listening: a socket bound before anything loads, and signals that drain instead of cutting off."""

import asyncio
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from service.http.services import Services

FLUSH_SECONDS = 5
IDLE_SECONDS = 75  # longer than clients keep idle connections, so that they close them and not we, under a request


class CannotListen(OSError):
    """The address is taken or not ours; the message is one line."""


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises CannotListen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CannotListen(f"cannot listen on {host}:{port}: {reason}") from None


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """The first signal closes the door: new work gets 503, running work finishes, then the server exits.
    A second signal ends it at once."""

    def __init__(self, config: uvicorn.Config, services: Services, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self.services = services
        self.on_start = on_start
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets=sockets)
        self.on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.services.gate.draining or self._loop is None:
            self.should_exit = self.force_exit = True
        else:
            self.services.gate.close()
            self._loop.call_soon_threadsafe(self._start_draining)

    def _start_draining(self) -> None:
        self.services.log.info("draining", seconds=self.services.settings.drain_seconds)
        self._draining = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        try:
            services = self.services
            await services.gate.drain(services.dispatcher, services.settings.drain_seconds)
        finally:
            self.should_exit = True


def make_server(app: FastAPI, on_start: Callable[[], None] = lambda: None) -> Server:
    """`on_start` is called when requests are accepted."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=FLUSH_SECONDS,
        timeout_keep_alive=IDLE_SECONDS,
    )
    return Server(config, app.state.services, on_start)
