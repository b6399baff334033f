"""A generator of clips of digits is measured, and its card written."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from models.checkpoint import read_config
from models.mcvd.config import MCVDConfig
from models.weights import load_state, save_checkpoint
from tests.tiny import tiny_mcvd_checkpoint
from tests.training.test_video import digits
from training.cli import app
from training.commands import evaluate_video
from training.data.moving import MovingSprites
from training.evaluate.videos import best_of, closeness
from training.evaluate.watcher import DIGITS as CLASSES
from training.evaluate.watcher import digits_in, fit_reader, fit_watcher, watched
from training.video_material import DIGITS

__all__ = ["digits"]
SIZES = replace(MCVDConfig.preset("tiny"), resolution=64, multipliers=(1, 1, 1), attention=())
RNG = np.random.default_rng(0)


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(evaluate_video, "fit_reader", partial(fit_reader, steps=2))
    monkeypatch.setattr(evaluate_video, "fit_watcher", partial(fit_watcher, steps=2))
    place = tiny_mcvd_checkpoint(tmp_path, network=SIZES)
    save_checkpoint(place, read_config(place).model_copy(update={"data": [DIGITS]}), load_state(place))
    return place


def evaluate(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["evaluate", *map(str, arguments)])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.output


def test_a_generator_gets_numbers_and_a_card(checkpoint: Path, digits: Path, tmp_path: Path) -> None:
    (checkpoint / "README.md").write_text("# Mine\n\n## Training\n\nBy hand.\n")
    out, fields = tmp_path / "scores.json", ("--count", 3, "--trials", 2, "--set", "num_inference_steps=2")
    evaluate(checkpoint, "--data-dir", digits, "--write", "--out", out, *fields)
    scores = json.loads(out.read_text())
    assert scores["sampling"]["num_inference_steps"] == 2 and scores["count"] == 3
    assert scores["prediction"]["frames"] == "3 -> 6" and scores["unconditional"]["frames"] == "0 -> 9"
    assert scores["prediction"]["psnr_best"] >= scores["prediction"]["psnr_first"]
    assert {"last_frame", "mean_frame"} <= scores["prediction"]["baselines"].keys()
    assert {"interpolation", "past"} <= scores.keys()
    text = (checkpoint / "README.md").read_text()
    assert text.startswith("# Mine") and "By hand." in text and "FVD-own" in text and "| prediction | 3 -> 6 |" in text
    assert (checkpoint / "samples.png").is_file()
    with ZipFile(checkpoint / "example.zip") as folder:
        assert len(folder.namelist()) == SIZES.past
    assert (digits / evaluate_video.JUDGES).is_dir(), "the judges are kept"


def test_what_was_trained_on_something_else_is_refused(tmp_path: Path, digits: Path) -> None:
    place = tiny_mcvd_checkpoint(tmp_path, network=SIZES)
    result = CliRunner().invoke(app, ["evaluate", str(place), "--data-dir", str(digits)])
    assert result.exit_code != 0 and "nothing to compare it with" in str(result.exception)


def test_equal_clips_are_as_close_as_can_be() -> None:
    clips = RNG.integers(0, 256, (2, 3, 16, 16, 1), np.uint8)
    psnr, likeness = closeness(clips, clips)
    assert psnr.min() > 100.0 and torch.allclose(likeness, torch.ones(2).double(), atol=1e-5)
    grey = np.full_like(clips, 128)
    error = ((clips.astype(np.float64) - 128) ** 2).mean(axis=(1, 2, 3, 4))
    assert torch.allclose(closeness(grey, clips)[0], torch.from_numpy(10 * np.log10(255.0**2 / error)))


def test_the_best_trial_of_each_clip_counts() -> None:
    real = RNG.integers(0, 256, (2, 3, 16, 16, 1), np.uint8)
    other = RNG.integers(0, 256, real.shape, np.uint8)
    first, second = np.stack([real[0], other[1]]), np.stack([other[0], real[1]])
    found = best_of(np.stack([first, second]), real)
    assert found["psnr_best"] > 100.0 > found["psnr_first"] and found["ssim_best"] == pytest.approx(1.0, abs=1e-5)


def test_judges_learn_what_tells_sprites_apart() -> None:
    """Sprites of two classes: bars that lie, and bars that stand."""
    sprites = np.zeros((2, 32, 32), np.uint8)
    sprites[0, 8:14], sprites[1, :, 8:14] = 255, 255
    labels = np.array([2, 5])
    clips = MovingSprites(sprites, 64, 1, seed=0, together=1)
    reader = fit_reader(clips, labels, steps=40)
    seen = np.stack([clips.clip(100_000 + at)[0] for at in range(40)])
    wanted = torch.zeros(40, CLASSES, dtype=torch.bool)
    for at in range(40):
        wanted[at, labels[clips.which(100_000 + at)]] = True
    right = (digits_in(reader, seen, torch.ones(40, dtype=torch.long)) == wanted).all(dim=1)
    assert right.double().mean() > 0.9
    long = replace(clips, frames=9)
    watcher = fit_watcher(long, labels, steps=2)
    assert watched(watcher, np.stack([long.clip(at) for at in range(3)])).shape == (3, 128)
