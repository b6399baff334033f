"""The README's examples run as they stand, against the checkpoint that ships."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from tests.live import Live, serving

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000"


def block(language: str, holding: str) -> str:
    found = [text for text in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if holding in text]
    assert len(found) == 1, f"one {language} block of the README holds {holding!r}, not {len(found)}"
    return str(found[0])


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with serving([ROOT / "checkpoints"]) as live:
        yield live


def run(program: list[str], where: Path, text: str | None = None) -> str:
    done = subprocess.run(program, cwd=where, input=text, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_curl_line_writes_a_picture(live: Live, tmp_path: Path) -> None:
    command = block("sh", "sneaker.png").replace(ADDRESS, live.url)
    run(["bash", "-c", command], tmp_path)
    with Image.open(tmp_path / "sneaker.png") as picture:
        assert picture.size == (32, 32)


def test_the_progress_example(live: Live, tmp_path: Path) -> None:
    partials = run(["bash", "-c", block("sh", '"progress": true').replace(ADDRESS, live.url)], tmp_path)
    assert 1 <= int(partials) < 12


def test_the_sdk_example(live: Live, tmp_path: Path) -> None:
    alpha = np.full((32, 32), 255, dtype=np.uint8)
    alpha[:16] = 0
    Image.fromarray(np.dstack([np.zeros((32, 32, 3), dtype=np.uint8), alpha])).save(tmp_path / "mask.png")
    run([sys.executable, "-"], tmp_path, block("python", "images.generate").replace(ADDRESS, live.url))
    assert sorted(p.name for p in tmp_path.glob("boot-*.png")) == [f"boot-{i}.png" for i in range(4)]


def test_the_sound_example(live: Live, tmp_path: Path) -> None:
    run(["bash", "-c", block("sh", "piano.wav").replace(ADDRESS, live.url)], tmp_path)
    assert soundfile.info(tmp_path / "piano.wav").duration == 4.0


def test_the_library_example(tmp_path: Path) -> None:
    example = block("python", "from service import load").replace("checkpoints/", f"{ROOT}/checkpoints/")
    check = "\nassert len(images) == 16 and images[0].size == (32, 32)\nmodel.close()\n"
    run([sys.executable, "-"], tmp_path, example + check)
