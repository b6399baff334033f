"""A team as an operator runs one: Redis, an API process and workers, any of which can be killed and restarted."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from tests.redis_server import RedisServer, redis_server

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "checkpoints"
READY_SECONDS = 90.0
NONE: Mapping[str, str] = {}


@dataclass
class Team:
    """server: Redis, None for a set-up of one process; place: of logs; options: of all; bound: of the queue;
    settings: variables of all."""

    place: Path
    server: RedisServer | None
    options: tuple[str, ...] = ()
    bound: int = 64
    settings: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    api: "subprocess.Popen[bytes] | None" = None
    apis: "list[subprocess.Popen[bytes]]" = field(default_factory=list)
    workers: "list[subprocess.Popen[bytes]]" = field(default_factory=list)
    started: int = 0

    def start_api(self, *options: str) -> None:
        """The first one, or it again on its port."""
        port = int(self.url.rsplit(":", 1)[1]) if self.url else 0
        self.url = self.another_api("--port", str(port), *options)
        self.api = self.apis[-1]

    def another_api(self, *options: str) -> str:
        """Beside the first; its address."""
        api = self._start("api", "serve", "--max-waiting", str(self.bound), *(options or ("--port", "0")))
        self.apis.append(api)
        log = self.place / f"api-{self.started}.log"
        address = _until(lambda: next((line for line in log.read_text().splitlines() if "http://" in line), ""), api)
        return next(word for word in address.split() if word.startswith("http://"))

    def kill_api(self) -> None:
        assert self.api is not None
        self.api.kill()
        self.api.wait()
        self.apis.remove(self.api)

    def start_worker(self, *options: str) -> "subprocess.Popen[bytes]":
        worker = self._start("worker", "worker", "--threads", "1", "--preload", *options)
        self.workers.append(worker)
        log = self.place / f"worker-{self.started}.log"
        _until(lambda: "working" in log.read_text(), worker)
        return worker

    def kill(self, worker: "subprocess.Popen[bytes]") -> None:
        """SIGKILL: no word to anybody."""
        worker.kill()
        worker.wait()
        self.workers.remove(worker)

    def _start(self, name: str, command: str, *options: str) -> "subprocess.Popen[bytes]":
        self.started += 1
        call = [sys.executable, "-m", "service.cli", command, "--models", str(MODELS), "--log-format", "json"]
        call += [] if self.server is None else ["--redis", self.server.url]
        call += [*self.options, *options]
        environment = {**os.environ, **self.settings, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with (self.place / f"{name}-{self.started}.log").open("wb") as log:
            return subprocess.Popen(call, stdout=log, stderr=subprocess.STDOUT, env=environment)

    def ask(self, timeout: float = 120.0, what: str = "images", **body: object) -> httpx2.Response:
        """One generation, waited for."""
        return httpx2.post(f"{self.url}/v1/{what}/generations", json=body, timeout=timeout)

    def end(self) -> None:
        for process in (*self.workers, *self.apis):
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()


@contextmanager
def team(
    place: Path,
    workers: int = 2,
    appendonly: bool = False,
    options: tuple[str, ...] = (),
    bound: int = 64,
    settings: Mapping[str, str] = NONE,
) -> Iterator[Team]:
    """A team that works."""
    with redis_server(place, appendonly) as server:
        assert isinstance(server, RedisServer)
        made = Team(place, server, options, bound, settings)
        try:
            made.start_api()
            for _ in range(workers):
                made.start_worker()
            yield made
        finally:
            made.end()


@contextmanager
def alone(place: Path, settings: Mapping[str, str] = NONE) -> Iterator[Team]:
    """One process, without Redis."""
    made = Team(place, None, settings=settings)
    try:
        made.start_api("--threads", "1", "--preload", "--port", "0")
        yield made
    finally:
        made.end()


def _until(met, process: "subprocess.Popen[bytes]"):  # type: ignore[no-untyped-def]
    end = time.monotonic() + READY_SECONDS
    while not (found := met()):
        assert process.poll() is None, "the process ended"
        assert time.monotonic() < end, "the process does not come up"
        time.sleep(0.02)
    return found
