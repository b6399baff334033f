"""Benches of MCVD run at the smallest size."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.mcvd import diffusers, mixed, models, quality, spade
from models.mcvd.config import MCVDConfig
from tests.bench.contexts import column, quick_context, tables
from tests.tiny import tiny_mcvd_checkpoint
from training.data.moving import MovingSprites
from training.evaluate.videos import Judges
from training.evaluate.watcher import fit_reader, fit_watcher


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_mcvd_checkpoint(tmp_path_factory.mktemp("mcvd"))


def test_spade(tmp_path: Path) -> None:
    context = quick_context(tmp_path, None)
    spade.run(context)
    [table] = tables(context)
    assert column(table, "what") == ["a call", "a block of 2 steps"]
    assert all(cell["median"] > 0.0 for cell in column(table, "every call / kept"))


def test_mixed_tasks(tmp_path: Path, checkpoint: Path) -> None:
    context = quick_context(tmp_path, checkpoint)
    mixed.run(context)
    [table] = tables(context)
    assert column(table, "clients") == [1] and column(table, "mixed / same")[0]["median"] > 0.0


def test_random_weights_are_measured_without_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "SMALL", MCVDConfig.preset("tiny"))
    context = quick_context(tmp_path, None)
    mixed.run(context)
    [table] = tables(context)
    assert "random weights" in table["title"]


def test_diffusers(tmp_path: Path) -> None:
    context = quick_context(tmp_path, None)
    diffusers.run(context)
    [table] = tables(context)
    assert column(table, "clips") == [1] and column(table, "diffusers / ours")[0]["median"] > 0.0


def test_quality(tmp_path: Path, checkpoint: Path) -> None:
    context = quick_context(tmp_path, checkpoint)
    decoder = models.load(checkpoint, "cpu", "float32")
    clips = MovingSprites(np.full((3, 8, 8), 200, np.uint8), 16, 12, seed=0)
    labels = np.array([1, 2, 3])
    judges = Judges(
        fit_reader(replace(clips, frames=1), labels, 2), fit_watcher(replace(clips, frames=9), labels, 2), labels
    )
    quality.measure(context, decoder, judges, clips)
    [table] = tables(context)
    assert column(table, "steps") == [5, 10] and "Of real clips" in table["note"]


def test_without_a_checkpoint_there_is_nothing_to_score(tmp_path: Path) -> None:
    context = quick_context(tmp_path, None)
    quality.run(context)
    assert not tables(context)
