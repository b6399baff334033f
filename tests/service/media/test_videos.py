"""Frames to files and back: what loses nothing, what repeats, what is refused."""

import json
from io import BytesIO
from zipfile import ZipFile

import av
import numpy as np
import pytest
from PIL import Image

from service.media.films import ClipLimits, read_clip
from service.media.uploads import UploadError
from service.media.videos import CODECS, VIDEO_TYPES, VideoFormat, encode_video, sheet, thumbnail

LIMITS = ClipLimits(frames=20, pixels=64 * 64)
TAGS = {"seed": 3, "model": "digits"}


def film(count: int = 7, height: int = 32, width: int = 48, channels: int = 1) -> np.ndarray:
    """A smooth pattern that moves."""
    y, x = np.mgrid[:height, :width]
    frames = [
        np.stack([127 + 120 * np.sin((x * (c + 1) + y + 5 * t) / 12) for c in range(channels)], axis=-1)
        for t in range(count)
    ]
    return np.stack(frames).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("format", VIDEO_TYPES)
def test_the_same_frames_give_the_same_bytes(format: VideoFormat, channels: int) -> None:
    frames = film(channels=channels)
    assert encode_video(frames, 10, format, TAGS) == encode_video(frames, 10, format, TAGS)
    assert encode_video(frames, 10, format, TAGS) != encode_video(frames[::-1], 10, format, TAGS)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(32, 48), (17, 23)])
@pytest.mark.parametrize(("format", "error"), [("mkv", 0), ("mp4", 4), ("webm", 4)])
def test_files_are_read_back(format: VideoFormat, error: float, size: tuple[int, int], channels: int) -> None:
    frames = film(height=size[0], width=size[1], channels=channels)
    if channels == 3:  # colours are stored at half the resolution
        frames = film(height=size[0], width=size[1]).repeat(3, axis=-1) // 2 + 20
    upload = read_clip(encode_video(frames, 12.5, format), channels, (size[1], size[0]), LIMITS)
    assert upload.frames.shape == frames.shape and upload.fps == pytest.approx(12.5, rel=0.01)
    assert np.abs(upload.frames.astype(int) - frames).max() <= 4 * error
    assert np.abs(upload.frames.astype(int) - frames).mean() <= error


def test_a_grey_gif_and_a_zip_lose_nothing() -> None:
    frames = film()
    upload = read_clip(encode_video(frames, 10, "gif"), 1, (48, 32), LIMITS)
    assert np.array_equal(upload.frames, frames)
    with ZipFile(BytesIO(encode_video(frames, 10, "zip", TAGS))) as folder:
        names = [name for name in folder.namelist() if name.endswith(".png")]
        assert names == [f"{at:04}.png" for at in range(len(frames))]
        again = [np.asarray(Image.open(BytesIO(folder.read(name)))) for name in names]
        assert json.loads(folder.read("tags.json")) == TAGS
    assert np.array_equal(np.stack(again)[..., None], frames)


@pytest.mark.parametrize("format", CODECS)
def test_films_carry_their_tags(format: VideoFormat) -> None:
    with av.open(BytesIO(encode_video(film(), 10, format, TAGS))) as container:
        metadata = {name.lower(): value for name, value in container.metadata.items()}
    assert json.loads(metadata["comment"]) == TAGS


def test_an_mp4_can_be_played_before_it_is_there() -> None:
    content = encode_video(film(), 10, "mp4")
    assert content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize("fps", [7.0, 24.0, 30.0])
def test_a_gif_lasts_as_long_as_its_frames(fps: float) -> None:
    with Image.open(BytesIO(encode_video(film(15), fps, "gif"))) as picture:
        delays = []
        for at in range(getattr(picture, "n_frames", 1)):
            picture.seek(at)
            delays.append(picture.info["duration"])
    assert sum(delays) == pytest.approx(1000 * 15 / fps, abs=10)


def test_a_picture_is_a_clip_of_one_frame() -> None:
    out = BytesIO()
    Image.fromarray(film(1)[0, :, :, 0]).save(out, "PNG")
    upload = read_clip(out.getvalue(), 3, (48, 32), LIMITS)
    assert upload.frames.shape == (1, 32, 48, 3) and upload.fps is None


@pytest.mark.parametrize(
    ("file", "status", "code"),
    [
        (b"", 400, "invalid_video"),
        (b"nothing of the kind" * 99, 400, "invalid_video"),
        (encode_video(film(), 10, "mp4")[:900], 400, "invalid_video"),
        (encode_video(film(), 10, "mkv")[:900], 400, "invalid_video"),
        (encode_video(film(21), 10, "mp4"), 413, "video_too_long"),
        (encode_video(film(21), 10, "webm"), 413, "video_too_long"),
        (encode_video(film(height=80, width=80), 10, "mp4"), 413, "video_too_large"),
        (encode_video(film(height=16, width=16), 10, "mp4"), 400, "video_size_mismatch"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), 400, "unsupported_media_type"),
    ],
)
def test_other_files_are_refused(file: bytes, status: int, code: str) -> None:
    with pytest.raises(UploadError) as found:
        read_clip(file, 1, (48, 32), LIMITS)
    assert (found.value.status, found.value.code) == (status, code)


def test_a_sound_is_no_clip() -> None:
    import soundfile

    out = BytesIO()
    soundfile.write(out, np.zeros(800), 8000, format="WAV")
    with pytest.raises(UploadError, match="not a clip"):
        read_clip(out.getvalue(), 1, None, LIMITS)


def test_frames_side_by_side() -> None:
    frames = film(7)
    made = sheet(frames)
    assert made.shape == (2 * 32, 5 * 48, 1)
    assert np.array_equal(made[32:, 48:96], frames[6]) and not made[32:, 96:].any()
    with Image.open(BytesIO(thumbnail(frames))) as picture:
        assert picture.size == (48, 32) and picture.format == "WEBP"
