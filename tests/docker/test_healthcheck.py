"""docker/healthcheck.py, run as the image runs it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

from tests.docker.files import DOCKER


@contextmanager
def answering(status: int) -> Iterator[str]:
    """A server whose /health has that status; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()
            self.wfile.write(b"words")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield str(server.server_port)
        finally:
            server.shutdown()
            thread.join()


def check(**variables: str) -> tuple[int, str]:
    command = [sys.executable, "-I", str(DOCKER / "healthcheck.py")]
    environment = {"http_proxy": "http://127.0.0.1:9", **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_healthy() -> None:
    with answering(200) as port:
        assert check(MASKSERVE_PORT=port) == (0, "200 words\n")


def test_a_dead_engine_is_unhealthy() -> None:
    with answering(503) as port:
        assert check(MASKSERVE_PORT=port) == (1, "503 words\n")


def test_a_worker_answers_on_its_probe_port() -> None:
    with answering(200) as probe, answering(503) as port:
        assert check(MASKSERVE_PORT=port, MASKSERVE_PROBE_PORT=probe)[0] == 0


def test_nobody_there_is_unhealthy_in_one_line() -> None:
    with answering(200) as port:
        pass
    status, words = check(MASKSERVE_PORT=port)
    assert status == 1 and words.startswith(f"port {port}: ") and words.count("\n") == 1
