"""`maskserve serve` as a process: greeting, curl line, signals, mistakes; and what draining means."""

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import sleep

import httpx2
import pytest

from models.catalogue import Catalogue
from service.http.server import bind
from tests.live import STEP_SECONDS, serving
from tests.tiny import tiny_checkpoint

COMMAND = [sys.executable, "-m", "service.cli"]


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=60)


@contextmanager
def process(*arguments: str) -> "Iterator[tuple[subprocess.Popen[str], list[str]]]":
    """The process and the two lines of its greeting."""
    command = [*COMMAND, "serve", "--port", "0", "--device", "cpu", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            yield server, [server.stdout.readline().strip() for _ in range(2)]
        finally:
            server.kill()


def test_the_printed_curl_line_writes_a_picture_and_sigterm_ends_it(tmp_path: Path) -> None:
    tiny_checkpoint(tmp_path / "models")
    with process("--models", str(tmp_path / "models")) as (server, (address, hint)):
        url = address.split()[3]
        assert url.startswith("http://127.0.0.1:")
        assert httpx2.get(f"{url}/ready").status_code == 200
        words = shlex.split(hint.removeprefix("try: "))
        assert words[:3] == ["curl", "-s", f"{url}/v1/images/generations"]
        body = json.loads(words[words.index("-d") + 1])
        answer = httpx2.post(words[2], json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        save = words[words.index("python3") + 1 :]
        subprocess.run([sys.executable, *save], input=answer.text, text=True, cwd=tmp_path, check=True)
        assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0


def test_draining_finishes_what_runs_and_refuses_the_rest(catalogue: Catalogue) -> None:
    body = {"model": "slow", "prompt": "shirt", "num_inference_steps": 16, "n": 2}
    with serving(catalogue, drain_seconds=30.0) as live, ThreadPoolExecutor(1) as pool:
        url = f"{live.url}/v1/images/generations"
        asked = pool.submit(httpx2.post, url, json=body, timeout=60)
        while live.engine.idle():
            sleep(0.01)
        live.server.handle_exit(signal.SIGTERM, None)
        refused = httpx2.post(url, json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
        assert int(refused.headers["retry-after"]) > 0
        assert httpx2.get(f"{live.url}/ready").status_code == 503
        answer = asked.result()
        assert answer.status_code == 200
        assert len(answer.json()["data"]) == 2


def test_what_does_not_finish_in_time_is_told_to_come_back(catalogue: Catalogue) -> None:
    body = {"model": "slow", "prompt": "shirt", "num_inference_steps": 16}
    with serving(catalogue, drain_seconds=2 * STEP_SECONDS) as live, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(httpx2.post, f"{live.url}/v1/images/generations", json=body, timeout=60)
        while live.engine.idle():
            sleep(0.01)
        live.server.handle_exit(signal.SIGTERM, None)
        answer = asked.result()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "draining")


def test_a_taken_port_is_one_line() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        result = run("serve", "--port", str(port))
    assert result.returncode == 1
    assert result.stderr.strip().count("\n") == 0
    assert f"127.0.0.1:{port}" in result.stderr and f"--port {port + 1}" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", "--models", "nowhere"], "no such directory: nowhere"),
        (["serve", "--port", "70000"], "port"),
        (["serve", "--dtype", "float8"], "dtype"),
        (["serve", "--default-model", "dall-e"], "no checkpoint is called 'dall-e'; there are m"),
        (["check", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.returncode == 1
    assert said in result.stderr and result.stderr.count("\n") == 1


def test_a_broken_checkpoint_is_one_line_and_the_rest_is_served(tmp_path: Path) -> None:
    tiny_checkpoint(tmp_path, "good")
    broken = tiny_checkpoint(tmp_path, "broken")
    weights = next(broken.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:100])
    listed = run("models", "--models", str(tmp_path))
    assert listed.returncode == 0
    assert listed.stdout.startswith("good: maskgit image 16x16")
    assert listed.stderr.count("\n") == 1 and "broken" in listed.stderr
    assert run("check", str(tmp_path / "good")).returncode == 0
    assert run("check", str(broken)).returncode == 1


def test_check_finds_tensors_of_another_shape(tmp_path: Path) -> None:
    directory = tiny_checkpoint(tmp_path)
    config = directory / "config.json"
    config.write_text(config.read_text().replace('"mlp_ratio": 4.0', '"mlp_ratio": 2.0'))
    checked = run("check", str(directory))
    assert checked.returncode == 1 and checked.stderr.count("\n") == 1
    assert "wrong shape" in checked.stderr


def test_several_workers_need_an_address(tmp_path: Path) -> None:
    tiny_checkpoint(tmp_path)
    models = ("--models", str(tmp_path))
    for arguments in (
        ("worker", *models, "--redis", "nonsense"),
        ("serve", *models, "--port", "0", "--redis", "nonsense"),
    ):
        done = run(*arguments)
        assert done.returncode == 1 and "error: Redis URL must" in done.stderr and "Traceback" not in done.stderr
    done = run("worker", *models)
    assert done.returncode == 1 and "which queue?" in done.stderr
