"""`maskserve generate` with a video model: tasks from files, formats by name, repeats from tags."""

from pathlib import Path

import numpy as np
import pytest

from service.media.films import ClipLimits, read_clip
from service.media.videos import VIDEO_TYPES, encode_video
from tests.cli import refused, run
from tests.tiny import tiny_mcvd_checkpoint

LIMITS = ClipLimits(100, 1 << 16)
CLIP = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 1), np.uint8)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models")
    tiny_mcvd_checkpoint(place, "clips")
    (place / "clip.mkv").write_bytes(encode_video(CLIP, 8, "mkv"))
    return place


def frames_of(path: Path) -> np.ndarray:
    return read_clip(path.read_bytes(), 1, None, LIMITS).frames


@pytest.mark.parametrize("ending", VIDEO_TYPES)
def test_a_video_from_nothing_is_repeated_by_its_tags(models: Path, tmp_path: Path, ending: str) -> None:
    out, again = tmp_path / f"out.{ending}", tmp_path / f"again.{ending}"
    made = run("generate", "clips", "--frames", "4", "--seed", "5", "--out", out, "--models", models)
    assert made.exit_code == 0, made.output
    assert len(frames_of(out)) == 4
    repeated = run("generate", "--like", out, "--out", again, "--models", models)
    assert repeated.exit_code == 0, repeated.output
    assert out.read_bytes() == again.read_bytes()


def test_a_clip_goes_on(models: Path, tmp_path: Path) -> None:
    out, clip = tmp_path / "out.mkv", models / "clip.mkv"
    asked = ["--input", clip, "--frames", "5", "--include-input", "--out", out, "--models", models, "--size", "32x32"]
    made = run("generate", "clips", *asked)
    assert made.exit_code == 0, made.output
    frames = frames_of(out)
    assert frames.shape == (11, 32, 32, 1) and np.array_equal(frames[:6, ::2, ::2], CLIP)
    assert "made from other frames (prediction)" in refused("generate", "--like", out, "--models", models)


def test_between_two_clips(models: Path, tmp_path: Path) -> None:
    clip, out = models / "clip.mkv", tmp_path / "between.zip"
    made = run("generate", "clips", "--input", clip, "--end", clip, "--out", out, "--models", models)
    assert made.exit_code == 0, made.output
    assert len(frames_of(out)) == 3


def test_many_at_once(models: Path, tmp_path: Path) -> None:
    out = tmp_path / "made.npz"
    made = run("generate", "clips", "--frames", "4", "--count", "3", "--out", out, "--models", models)
    assert made.exit_code == 0, made.output
    assert np.load(out)["videos"].shape == (3, 4, 16, 16, 1)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["--task", "prediction", "--frames", "4"], "needs 3 frames"),
        (["--frames", "4", "--size", "20x20"], "whole multiple"),
        (["--frames", "4", "--guidance", "2"], "guidance_scale"),
        (["--input", "nothing.mp4"], "nothing.mp4"),
        ([], "what is to be made"),
    ],
)
def test_what_does_not_fit_is_one_line(models: Path, asked: list[str], words: str) -> None:
    assert words in refused("generate", "clips", *asked, "--models", models)


def test_the_list_names_the_tasks(models: Path) -> None:
    listed = run("models", "--models", models)
    assert "clips: mcvd video 16x16 in blocks of 3 frames, prediction, interpolation, past" in listed.output
