"""`maskserve-train video`: a folder as people have them becomes a model that is served."""

from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from models.catalogue import Catalogue
from models.checkpoint import read_config
from training.cli import app
from training.data.video_folder import FilmClips, NoVideos, VideoShape, frames_of, list_videos, prepare_videos

SHAPE = VideoShape(size=32, colour=True, least=6)
CHANGES = {
    "video.network.frames": 2,
    "video.network.past": 2,
    "video.network.future": 2,
    "video.network.width": 8,
    "video.network.multipliers": [1, 1],
    "video.network.attention": [],
    "video.network.head_channels": 8,
    "video.train.steps": 2,
    "video.train.batch": 4,
    "video.decoding.num_inference_steps": 4,
}
SMALL = [part for key, value in CHANGES.items() for part in ("--set", f"{key}={value}")]


def film(path: Path, count: int, size: tuple[int, int] = (48, 32), fps: int = 10) -> Path:
    """Of grey that gets lighter from frame to frame; the left and right edges of wide ones are red."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1" if path.suffix == ".mkv" else "mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "bgr0" if path.suffix == ".mkv" else "yuv420p"
        for at in range(count):
            frame = np.full((height, width, 3), 10 * at, np.uint8)
            frame[:, :8] = frame[:, -8:] = (255, 0, 0)
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format=stream.pix_fmt)
            out.mux(stream.encode(picture))
        out.mux(stream.encode())
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two films that can be used, a short one, a damaged one, and what is no film."""
    root = tmp_path / "mine"
    film(root / "a.mkv", 8)
    film(root / "deep" / "b.mp4", 10, (64, 64))
    film(root / "short.mkv", 3)
    film(root / ".hidden.mkv", 8)
    (root / "damaged.mp4").write_bytes(film(root / "damaged.mp4", 8).read_bytes()[:200])
    (root / "notes.md").write_text("no film")
    return root


def test_a_folder_becomes_a_model(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    asked = ["video", "--data", str(folder), "--out", str(out), "--size", "32", *SMALL]
    looked = CliRunner().invoke(app, [*asked, "--dry-run"])
    assert looked.exit_code == 0, looked.output
    assert "2 videos, 18 frames of 32x32 pixels, in colours: 8 clips of 6 frames" in looked.output
    assert "short.mkv: has 3 frames, 6 are needed" in looked.output and "damaged.mp4: cannot be read" in looked.output
    assert not (out / "checkpoint").exists()
    made = CliRunner().invoke(app, [*asked, "--licence", "CC0-1.0", "--credit", "me"])
    assert made.exit_code == 0, made.output + repr(made.exception)
    [entry] = Catalogue.scan([out]).entries.values()
    assert entry.spec.footage is not None and (entry.spec.size, entry.spec.footage.channels) == ((32, 32), 3)
    assert len(entry.spec.footage.tasks) == 4
    [data] = read_config(out / "checkpoint").data
    assert (data.name, data.licence, data.credit) == ("2 videos of a folder", "CC0-1.0", "me")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--size", "48"], "--size is one of"),
        (["--fps", "-1"], "--fps"),
        (["--recipe", "tiny-kl"], "no 'video' stage"),
    ],
)
def test_what_cannot_be_is_said(folder: Path, tmp_path: Path, more: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["video", "--data", str(folder), "--out", str(tmp_path / "run"), *more])
    assert result.exit_code != 0 and said in str(result.exception)


def test_the_middle_is_seen_and_time_is_thinned_out(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", 8)
    frames = np.stack(list(frames_of(path, SHAPE)))
    assert frames.shape == (8, 32, 32, 3)
    assert [int(frame.mean()) for frame in frames] == [10 * at for at in range(8)], "the edges are cut away"
    half = list(frames_of(path, VideoShape(32, False, 1, fps=5.0)))
    assert [int(frame.mean()) for frame in half] == [0, 20, 40, 60] and half[0].shape == (32, 32, 1)


def test_what_was_decoded_is_used_again_until_a_file_changes(folder: Path, tmp_path: Path) -> None:
    place, facts = tmp_path / "frames.npy", tmp_path / "films.json"
    seen: list[int] = []
    first = prepare_videos(folder, SHAPE, place, facts, seen.append)
    again = prepare_videos(folder, SHAPE, place, facts, seen.append)
    assert len(seen) == 4 and again.lengths == first.lengths == (8, 10)
    assert np.array_equal(first.frames, again.frames) and again.skipped == first.skipped
    film(folder / "c.mkv", 7)
    assert prepare_videos(folder, SHAPE, place, facts, seen.append).lengths == (8, 7, 10)


def test_clips_never_reach_over_two_films() -> None:
    frames = np.arange(18, dtype=np.uint8).reshape(18, 1, 1, 1)
    clips = FilmClips(frames, (8, 3, 7), window=5)
    found = [clips.clip(at).flatten().tolist() for at in range(len(clips))]
    assert [one[0] for one in found] == [0, 1, 2, 3, 11, 12, 13]
    assert all(one == list(range(one[0], one[0] + 5)) for one in found)


def test_a_folder_without_films_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoVideos, match="not a folder"):
        list_videos(tmp_path / "none")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(NoVideos, match="no video that can be used"):
        prepare_videos(tmp_path, SHAPE, tmp_path / "f.npy", tmp_path / "f.json", lambda done: None)
