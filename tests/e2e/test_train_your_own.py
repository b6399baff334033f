"""docs/train-your-own.md: its commands run in their order, on pictures as people have them."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from models.checkpoint import read_config
from tests.drawings import draw

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "train-your-own.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000"
CHANGES = {
    "tokenizer.train.steps": 8, "tokenizer.train.batch": 16, "tokenizer.refine.train.steps": 2,
    "tokenizer.refine.train.batch": 16, "tokenizer.perceptual.epochs": 1, "tokenizer.network.ch": 16,
    "tokenizer.network.codebook_size": 32, "generator.network.codebook_size": 32, "generator.network.dim": 48,
    "generator.train.steps": 8, "generator.train.batch": 16,
}  # fmt: skip
SMALL = " ".join(f"--set {key}={value}" for key, value in CHANGES.items())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader sits: `pictures` (60 of odd sizes, one damaged, one transparent), `more-pictures`, `captioned`."""
    root = tmp_path_factory.mktemp("reader")
    for folder, kinds, count in (("pictures", ("discs", "squares"), 30), ("more-pictures", ("rings", "squares"), 10)):
        for kind in kinds:
            (root / folder / kind).mkdir(parents=True)
            for at in range(count):
                draw(kind, at).save(root / folder / kind / f"{at:02}.png")
    clear = draw("discs", 2).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    clear.save(root / "pictures" / "discs" / "02.png")
    damaged = root / "pictures" / "squares" / "05.png"
    damaged.write_bytes(damaged.read_bytes()[:90])
    (root / "captioned").mkdir()
    lines = []
    for at in range(24):
        kind = ("discs", "squares")[at % 2]
        draw(kind, at).save(root / "captioned" / f"{at:02}.png")
        lines.append({"file": f"{at:02}.png", "caption": f"{'dark' if at % 3 else 'light'} {kind} on blue"})
    (root / "captioned" / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return root


def blocks() -> list[str]:
    """The commands of the page, with networks that train in seconds."""
    found = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    return [text.replace("--out models/", f"{SMALL} --threads 1 --out models/") for text in found]


def environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}


def run(text: str, place: Path) -> str:
    done = subprocess.run(
        ["bash", "-e"],
        cwd=place,
        input=text,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def served(text: str, place: Path) -> Iterator[str]:
    """What `maskserve serve` of the page serves, on a free port."""
    command = [*text.split(), "--port", "0", "--threads", "1"]
    with subprocess.Popen(command, cwd=place, env=environment(), stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = next(found[0] for line in server.stdout if (found := re.findall(r"http://[\d.]+:\d+", line)))
            end = time.monotonic() + 100
            while httpx2.get(f"{address}/ready").status_code != 200:
                assert time.monotonic() < end
                time.sleep(0.05)
            yield address
        finally:
            server.terminate()


def test_the_page_from_top_to_bottom(place: Path) -> None:
    dry, train, serve, ask, more, words, share = blocks()
    assert "Nothing was trained" in run(dry, place) and not (place / "models" / "mine" / "checkpoint").exists()

    said = run(train, place)
    assert "left out: squares/05.png: damaged" in said and "changed: discs/02.png: laid on white" in said
    assert read_config(place / "models" / "mine" / "checkpoint").classes == ["discs", "squares"]

    with served(serve, place) as address:
        assert ADDRESS in ask
        run(ask.replace(ADDRESS, address), place)
    with Image.open(place / "squares.png") as picture:
        assert picture.size == (16, 16)

    assert "1 classes known: squares; 1 new: rings" in run(more, place).replace("\n", " ")

    assert "of 24 captions" in run(words, place)
    with served("maskserve serve --models models/words", place) as address:
        body = {"prompt": "some dark squares, please"}
        answer = httpx2.post(f"{address}/v1/images/generations", json=body, timeout=60).json()
        assert answer["data"][0]["revised_prompt"] == "dark squares"
        refused = httpx2.post(f"{address}/v1/images/generations", json={"prompt": "xyzzy"}, timeout=60)
        assert refused.status_code == 400 and "no word that this model knows" in refused.json()["error"]["message"]

    run(share, place)
    assert (place / "out" / "mine" / "tokenizer" / "model.safetensors").is_file()
    assert (place / "out" / "official" / "nnet_ema.pth").is_file()
