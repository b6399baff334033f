"""docs/checkpoints.md: its examples run as they stand; a repository is fetched, and served from the cache."""

import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import httpx2

from models.bundle import collect
from models.checkpoint import problems
from models.maskgit.config import UViTConfig
from tests.hubs import TOKEN, Hub, answering, fill_cache
from tests.tiny import tiny_checkpoint

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "checkpoints.md").read_text(encoding="utf-8")
START_SECONDS = 120.0


def block(language: str, holding: str) -> str:
    [text] = [text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if holding in text]
    return str(text)


def environment(**more: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **more}


def test_own_code_writes_a_checkpoint_that_commands_take(tmp_path: Path) -> None:
    for program, text in (
        ([sys.executable, "-"], block("python", "import CheckpointConfig")),
        (["bash", "-e"], block("sh", "push")),
    ):
        done = subprocess.run(
            program,
            input=text,
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=150,
        )
        assert done.returncode == 0, done.stderr
    assert "models/mine: sound, served as mine" in done.stdout
    assert problems(tmp_path / "out" / "self-contained") == []
    assert (tmp_path / "out" / "generator" / "classes.txt").read_text() == "cat\ndog\n"


def test_data_alone_is_fetched_and_once(tmp_path: Path) -> None:
    files = collect(tiny_checkpoint(tmp_path / "made"), "mine")
    hub = Hub(files={path: one if isinstance(one, bytes) else one.read_bytes() for path, one in files.items()})
    hub.files |= {"training.pt": b"pickled", "tokenizer/model.ckpt": b"pickled", "samples.png": b"picture"}
    cache = tmp_path / "cache"
    variables = {"HF_HUB_CACHE": str(cache), "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

    def check(*names: str, **more: str) -> subprocess.CompletedProcess[str]:
        command, env = ["maskserve", "check", *names], environment(**variables, **more)
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=150)

    with answering(hub):
        done = check("org/mine", HF_ENDPOINT=hub.url)
        assert (done.returncode, done.stdout) == (0, "org/mine: sound, served as mine\n"), done.stderr
        fetched = {str(p.relative_to(cache)).split("/", 3)[3] for p in cache.rglob("snapshots/*/**/*") if p.is_file()}
        assert fetched == set(files)
        asked = [line for line in hub.asked if line.startswith("GET") and "/resolve/" in line]
        assert len(asked) == len(files)

        del hub.files["config.json"]
        done = check("org/mine@v2", HF_ENDPOINT=hub.url)
        assert (done.returncode, done.stderr) == (
            1,
            "org/mine@v2: the repository has no config.json, so it is no checkpoint\n",
        )
    done = check("org/mine", HF_ENDPOINT=hub.url)  # nobody answers there any more
    assert done.returncode == 0, done.stderr


def test_a_repository_is_served(tmp_path: Path) -> None:
    two = UViTConfig(codebook_size=32, grid=(4, 4), num_classes=2, dim=32, depth=2, heads=4)
    fill_cache(tmp_path / "cache", "org/mine", tiny_checkpoint(tmp_path / "made", network=two))
    command = [*block("sh", "serve org/mine").splitlines()[0].split(), "--port", "0", "--log-format", "json"]
    server = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment(HF_HUB_CACHE=str(tmp_path / "cache"), HF_HUB_OFFLINE="1"),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        end = time.monotonic() + START_SECONDS
        assert select.select([server.stdout], [], [], end - time.monotonic())[0], "the server said nothing"
        greeting = server.stdout.readline()
        found = re.search(r"listens on (\S+) and serves mine$", greeting.strip())
        assert found is not None, greeting
        body = {"model": "mine", "prompt": "shirt", "seed": 1}
        answer = httpx2.post(f"{found[1]}/v1/images/generations", json=body, timeout=120.0)
        assert answer.status_code == 200, answer.text
    finally:
        server.terminate()
        server.wait(60)
        if server.stdout is not None:
            server.stdout.close()
