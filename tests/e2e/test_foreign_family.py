"""A family in somebody's own pip-installed package is served, listed, cancelled and inpainted as it is.

The server is the console script, started in a directory that has `models/` and `training/` folders of its own.
"""

import base64
import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest
from openai import OpenAI
from PIL import Image

PACKAGE = Path(__file__).parents[1] / "toy_family"
PIP = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    place = tmp_path_factory.mktemp("foreign")
    site, home = place / "site", place / "home"
    source = place / "source"
    source.mkdir()
    for file in PACKAGE.rglob("*"):  # a copy, so that building leaves nothing in the tree
        if file.is_file() and "__pycache__" not in file.parts:
            target = source / file.relative_to(PACKAGE)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    subprocess.run([*PIP, "--target", str(site), str(source)], check=True, timeout=120)
    for decoy in ("models", "training", "service"):
        (home / decoy).mkdir(parents=True)
        (home / decoy / "__init__.py").write_text("raise ImportError('the wrong package')\n")
    environment = {**os.environ, "PYTHONPATH": str(site)}
    write = "from toy_stripes.checkpoint import write; from pathlib import Path; write(Path('shop/stripes')); "
    write += "write(Path('shop/slow'), step_seconds=0.2)"
    subprocess.run([sys.executable, "-P", "-c", write], cwd=home, env=environment, check=True, timeout=60)
    script = Path(sys.executable).parent / "maskserve"
    command = [str(script), "serve", "--models", "shop", "--port", "0", "--device", "cpu"]
    with subprocess.Popen(
        command, cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().split()[3]
        finally:
            server.kill()


@pytest.fixture
def client(url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def pixels(b64: str | None) -> np.ndarray:
    assert b64 is not None
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(b64))).convert("RGB"))


def test_it_is_listed(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["slow", "stripes"]
    extra = client.models.retrieve("stripes").model_extra
    assert extra is not None
    assert extra["maskserve"]["family"] == "toy-stripes"


def test_it_is_served_and_repeatable(client: OpenAI) -> None:
    made = client.images.generate(model="stripes", prompt="diagonal", n=2, extra_body={"seed": 5})
    again = client.images.generate(model="stripes", prompt="diagonal", extra_body={"seed": 5})
    assert made.data is not None and again.data is not None
    assert len(made.data) == 2
    assert made.data[0].b64_json == again.data[0].b64_json
    picture = pixels(made.data[0].b64_json)
    assert picture.shape == (32, 32, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 2


def test_it_is_inpainted_and_kept_pixels_stay(client: OpenAI) -> None:
    given = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    alpha = np.full((32, 32), 255, dtype=np.uint8)
    alpha[8:20, 4:30] = 0
    files = []
    for image in (Image.fromarray(given), Image.fromarray(np.dstack([given, alpha]))):
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        files.append(buffer.getvalue())
    edited = client.images.edit(model="stripes", prompt="vertical", image=files[0], mask=files[1])
    assert edited.data is not None
    picture = pixels(edited.data[0].b64_json)
    assert np.array_equal(picture[alpha == 255], given[alpha == 255])
    assert not np.array_equal(picture[alpha == 0], given[alpha == 0])


def test_hanging_up_cancels_it(url: str) -> None:
    body = {"model": "slow", "prompt": "vertical", "stream": True, "num_inference_steps": 60}
    with httpx2.stream("POST", f"{url}/v1/images/generations", json=body, timeout=30) as answer:
        next(answer.iter_lines())
    deadline = time.monotonic() + 8.0  # the whole request would take twelve seconds
    while time.monotonic() < deadline:
        if "maskserve_sequences_running 0.0" in httpx2.get(f"{url}/metrics").text:
            return
        time.sleep(0.1)
    pytest.fail("the request still runs")
