"""Benches of MAGNeT run at the smallest size."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.magnet import batching, models, quality, twin
from models.magnet.config import MAGNeTConfig
from models.tokenizers.encodec_config import EnCodecConfig
from tests.bench.contexts import column, quick_context, tables
from tests.tiny import WORDS, tiny_magnet_checkpoint
from training.data.loops import INSTRUMENTS, RATE
from training.data.sounds import SoundSet
from training.evaluate.listener import fit_listener
from training.evaluate.nearest import nearest_loops
from training.evaluate.sounds import waves_of

CODEC = EnCodecConfig(sample_rate=RATE, dimension=8, filters=2, ratios=(8, 5, 4, 2), lstm_layers=1, codebook_size=32)
NETWORK = MAGNeTConfig(
    codebook_size=32, seconds=2.0, dim=16, depth=1, heads=2, text_dim=8, text_encoder="", terms=len(WORDS)
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_magnet_checkpoint(tmp_path_factory.mktemp("magnet"), network=NETWORK, codec=CODEC, twin=True)


@pytest.fixture(scope="module")
def tones() -> SoundSet:
    """Of a height for every instrument."""
    time, names = np.arange(2 * RATE) / RATE, list(INSTRUMENTS)
    waves = [np.sin(2 * np.pi * 200 * 1.5 ** (at % 8) * time + at) * 9000 for at in range(16)]
    captions = tuple(f"{names[at % 8]} loop, 120 bpm, c major, with drums" for at in range(16))
    return SoundSet(np.stack(waves).astype(np.int16), captions, RATE)


def test_batching(tmp_path: Path, checkpoint: Path) -> None:
    context = quick_context(tmp_path, checkpoint)
    batching.run(context)
    [table] = tables(context)
    assert column(table, "concurrent") == [1, 4, "ceiling, 8"]
    assert all(cell["median"] > 0.0 for cell in column(table, "engine"))


def test_the_twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twin, "SMALL", replace(models.SMALL, dim=16, depth=1, heads=2, text_dim=8, codebook_size=32))
    monkeypatch.setattr(twin, "CODEC", replace(CODEC, codebooks=2))
    context = quick_context(tmp_path, None)
    twin.run(context)
    [table] = tables(context)
    assert column(table, "sound, s") == [0.5] and column(table, "together") == [1]


def test_quality(tmp_path: Path, checkpoint: Path, tones: SoundSet) -> None:
    context = quick_context(tmp_path, checkpoint)
    quality.measure(context, checkpoint, fit_listener(tones, steps=4, batch=8), tones, tones)
    [table] = tables(context)
    assert column(table, "head start, s") == [0.0, 1.0, 1.0, ""]
    assert column(table, "steps")[-1] == "twin alone"
    assert "of real loops" in table["note"]


def test_without_a_checkpoint_there_is_nothing_to_score(tmp_path: Path) -> None:
    context = quick_context(tmp_path, None)
    quality.run(context)
    assert not tables(context)


def test_a_copied_sound_is_found(tones: SoundSet) -> None:
    """A sample that is a training sound is as like it as can be; noise is not."""
    listener = fit_listener(tones, steps=4, batch=8)
    copies = waves_of(tones)[3:5]
    found = nearest_loops(copies, tones, listener)
    assert found["likeness_most"] == pytest.approx(1.0, abs=1e-4)
    assert found["most_like_training_loop"] == tones.captions[3 + found["most_like_sample"]]
    noise = nearest_loops(copies.new_tensor(np.random.default_rng(0).normal(0, 0.1, copies.shape)), tones, listener)
    assert noise["likeness_most"] < 0.5 < found["training_loops_to_each_other_most"]
