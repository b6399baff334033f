"""`maskserve generate` of sounds."""

import asyncio
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile

from service.media.tags import read_tags
from tests.cli import refused, run
from tests.live import one_thread_count, serving
from tests.tiny import tiny_magnet_checkpoint


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with one_thread_count(1):
        return tiny_magnet_checkpoint(tmp_path_factory.mktemp("models"))


def test_one_sound_is_that_of_the_server(tiny: Path, tmp_path: Path) -> None:
    async def fetch(**body: object) -> bytes:
        with serving([tiny]) as live:
            async with live.http() as client:
                answer = await client.post("/v1/audio/generations", json=body)
                return b64decode(answer.json()["data"][0]["b64_json"])

    body = {"prompt": "slow piano", "seed": 7, "duration": 1.0, "loop": True, "codebook_steps": [3, 2, 1, 1]}
    wanted = asyncio.run(fetch(**body))
    out, again = tmp_path / "new" / "loop.wav", tmp_path / "again.wav"
    how = ("--seed", 7, "--duration", 1, "--loop", "--codebook-steps", "3,2,1,1", "--threads", 1)
    result = run("generate", tiny, "slow piano", *how, "--out", out)
    assert result.exit_code == 0, result.output
    assert out.read_bytes() == wanted
    assert read_tags(wanted)["loop"] is True
    repeated = run("generate", "--like", out, "--models", tiny.parent, "--threads", 1, "--out", again)
    assert repeated.exit_code == 0, repeated.output
    assert again.read_bytes() == wanted


def test_several_become_files_or_arrays(tiny: Path, tmp_path: Path) -> None:
    assert run("generate", tiny, "fast organ", "--n", 2, "--seed", 1, "--out", tmp_path / "many").exit_code == 0
    files = sorted((tmp_path / "many").iterdir())
    assert [file.name for file in files] == ["0000.wav", "0001.wav"]
    assert run("generate", tiny, "fast organ", "--n", 2, "--seed", 1, "--out", tmp_path / "a.npz").exit_code == 0
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["sounds"].shape == (2, 120, 1) and arrays["rate"] == 64
        heard, _ = soundfile.read(BytesIO(files[1].read_bytes()), dtype="float32", always_2d=True)
        np.testing.assert_allclose(arrays["sounds"][1], heard, atol=1 / 32768)


def test_mistakes_are_one_line(tiny: Path, tmp_path: Path) -> None:
    assert "duration: " in refused("generate", tiny, "piano", "--duration", 9)
    assert "schedule: " in refused("generate", tiny, "piano", "--schedule", "cosine")
    assert "in .wav" in refused("generate", tiny, "piano", "--out", tmp_path / "a.png")
    assert "no word that this model knows" in refused("generate", tiny, "violin")
