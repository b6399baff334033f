"""docs/jobs.md: its examples run as they stand."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from service.webhooks.signing import Secret, signed
from tests.live import Live, serving

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "jobs.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000"


def block(language: str, holding: str) -> str:
    [text] = [text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if holding in text]
    return str(text)


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with serving([ROOT / "checkpoints"]) as live:
        yield live


def test_a_job_from_the_shell(live: Live, tmp_path: Path) -> None:
    script = block("sh", "respond-async").replace(ADDRESS, live.url)
    subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, check=True, timeout=60)
    with Image.open(tmp_path / "fourth.png") as picture:
        assert picture.size == (32, 32)


def test_a_key_from_the_sdk(live: Live) -> None:
    script = block("python", "Idempotency-Key").replace(ADDRESS, live.url)
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_receiver_checks_our_signature() -> None:
    known: dict[str, object] = {}
    exec(block("python", "def check"), known)
    secret, body = "whsec_YSBzZWNyZXQgb2YgdHdlbnR5LWZvdXIgYnl0ZXM=", b'{"type": "job.completed"}'
    headers = signed(Secret.parse(secret), "req_1", time.time(), body)
    check = known["check"]
    assert check(secret, headers, body) and not check(secret, headers, body + b" ")  # type: ignore[operator]
