"""A generator of loops is measured, and its card written; tones stand for rendered loops."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from models.magnet.config import MAGNeTConfig
from models.tokenizers.encodec_config import EnCodecConfig
from tests.tiny import WORDS, tiny_magnet_checkpoint
from training.cli import app
from training.commands import evaluate_sound
from training.data.loops import INSTRUMENTS, RATE
from training.data.sounds import SoundSet
from training.evaluate.listener import fit_listener

CODEC = EnCodecConfig(sample_rate=RATE, dimension=8, filters=2, ratios=(8, 5, 4, 2), lstm_layers=1, codebook_size=32)
NETWORK = MAGNeTConfig(
    codebook_size=32, seconds=2.0, dim=16, depth=1, heads=2, text_dim=8, text_encoder="", terms=len(WORDS)
)


def tones(first: int, count: int, held_out: bool = False) -> SoundSet:
    time, names = np.arange(2 * RATE) / RATE, list(INSTRUMENTS)
    waves = [np.sin(2 * np.pi * 200 * 1.5 ** (at % 8) * time + first + at) * 9000 for at in range(count)]
    captions = tuple(f"{names[at % 8]} loop, {160 if held_out else 120} bpm, c major" for at in range(count))
    return SoundSet(np.stack(waves).astype(np.int16), captions, RATE)


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(evaluate_sound, "unheard", tones)
    monkeypatch.setattr(evaluate_sound, "training_loops", lambda place: tones(0, 24))
    monkeypatch.setattr(evaluate_sound, "listener_in", lambda place: fit_listener(tones(0, 16), steps=4, batch=8))
    return tiny_magnet_checkpoint(tmp_path, network=NETWORK, codec=CODEC, twin=True)


def evaluate(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["evaluate", *map(str, arguments), "--count", "16"])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.output


def test_a_generator_gets_numbers_and_a_card(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "README.md").write_text("# Mine\n\n## Training\n\nBy hand.\n")
    out = tmp_path / "scores.json"
    evaluate(checkpoint, "--set", "codebook_steps=[2,1,1,1]", "--write", "--out", out)
    scores = json.loads(out.read_text())
    assert scores["sampling"]["codebook_steps"] == [2, 1, 1, 1]
    assert {"codec", "codec_held_out_pairs", "samples", "held_out_pairs", "nearest_training_loop"} <= scores.keys()
    text = (checkpoint / "README.md").read_text()
    assert text.startswith("# Mine") and "By hand." in text and "FAD-cls" in text and "SI-SDR" in text
    assert (checkpoint / "samples.png").is_file()
    sounds = sorted(path.name for path in checkpoint.glob("*.flac"))
    assert len(sounds) == 6 and sounds[0].endswith("loop-120-bpm-c-major.flac") and f"({sounds[0]})" in text
    assert json.loads((checkpoint / "config.json").read_text())["metrics"]["samples"]["count"] == 16


def test_a_twin_and_a_codec_are_measured_alone(checkpoint: Path, tmp_path: Path) -> None:
    twin = json.loads((checkpoint / "twin" / "config.json").read_text())
    (checkpoint / "twin" / "config.json").write_text(json.dumps(twin | {"tokenizer": "../tokenizer"}))
    out = tmp_path / "scores.json"
    evaluate(checkpoint / "twin", "--out", out)
    assert json.loads(out.read_text())["sampling"]["guidance"] == 2.0
    evaluate(checkpoint / "tokenizer", "--out", out)
    assert "samples" not in json.loads(out.read_text())


def test_a_codec_has_no_card(checkpoint: Path) -> None:
    result = CliRunner().invoke(app, ["evaluate", str(checkpoint / "tokenizer"), "--write"])
    assert "--write is for generators" in str(result.exception)
