"""A folder of video files as a data set: decoded once, to one size and rate, into a file that is mapped."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.data.files import files_in, raw_to_npy

SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif", ".mpg", ".mpeg"})
MOST_FRAMES = 20_000  # of one file, from its beginning
LAYOUT = 1


class NoVideos(ValueError):
    """The folder cannot be trained on; the message is one line."""


@dataclass(frozen=True)
class VideoShape:
    """What every frame becomes: the middle square, `size` pixels a side, grey or in colours; and how many there must
    be. fps: frames a second at most, 0 for all that there are.
    """

    size: int
    colour: bool
    least: int
    fps: float = 0.0


@dataclass(frozen=True)
class PreparedVideos:
    """frames: uint8 [N, S, S, C] of all films, one after the other; lengths: frames of each; skipped: file -> why;
    mark: that of the frames.
    """

    frames: np.ndarray
    lengths: tuple[int, ...]
    skipped: dict[str, str]
    mark: str


@dataclass(frozen=True)
class FilmClips:
    """Every `window` neighbouring frames of the films, by number."""

    frames: np.ndarray
    lengths: tuple[int, ...]
    window: int

    @cached_property
    def _counts(self) -> np.ndarray:
        """Clips of each film."""
        return np.array([max(0, length - self.window + 1) for length in self.lengths])

    def __len__(self) -> int:
        return int(self._counts.sum())

    def clip(self, index: int) -> np.ndarray:
        """uint8 [window, S, S, C]."""
        ends = self._counts.cumsum()
        film = int(np.searchsorted(ends, index, side="right"))
        begin = sum(self.lengths[:film]) + index - int(ends[film] - self._counts[film])
        return np.array(self.frames[begin : begin + self.window])


def list_videos(folder: Path) -> list[Path]:
    """In the order of their names. Raises NoVideos."""
    if not folder.is_dir():
        raise NoVideos(f"{folder} is not a folder")
    return files_in(folder, SUFFIXES)


def prepare_videos(
    folder: Path, shape: VideoShape, place: Path, facts: Path, tell: Callable[[int], None]
) -> PreparedVideos:
    """Decode into the two files, or take what lies there if it is of this folder and shape. Raises NoVideos where none
    can be decoded.
    """
    files = list_videos(folder)
    mark = fingerprint(folder, files, shape)
    if place.is_file() and facts.is_file():
        told = json.loads(facts.read_text(encoding="utf-8"))
        if told.get("name") == mark:
            return PreparedVideos(np.load(place, mmap_mode="r"), tuple(told["lengths"]), told["skipped"], told["mark"])
    lengths, skipped = list[int](), dict[str, str]()
    place.parent.mkdir(parents=True, exist_ok=True)
    facts.unlink(missing_ok=True)  # they come last, once the frames are theirs
    raw = place.with_name(f".{place.name}.raw")
    digest = hashlib.blake2b(digest_size=12)
    with raw.open("wb") as out:
        for file in files:
            begin, count, mine = out.tell(), 0, hashlib.blake2b(digest_size=12)
            try:
                for frame in frames_of(file, shape):
                    out.write(frame.tobytes())
                    mine.update(frame.tobytes())
                    count += 1
                if count < shape.least:
                    raise ValueError(f"has {count} frames, {shape.least} are needed")
                lengths.append(count)
                digest.update(mine.digest())
            except ValueError as error:
                skipped[file.relative_to(folder).as_posix()] = str(error)
                out.seek(begin)
                out.truncate()
            tell(1)
    if not lengths:
        why = next((f": {name} {reason}" for name, reason in skipped.items()), "")
        raise NoVideos(f"{folder} holds no video that can be used ({', '.join(sorted(SUFFIXES))}){why}")
    raw_to_npy(raw, place, (sum(lengths), shape.size, shape.size, 3 if shape.colour else 1), np.uint8)
    told = {"name": mark, "lengths": lengths, "skipped": skipped, "mark": digest.hexdigest()}
    facts.write_text(json.dumps(told), encoding="utf-8")
    return PreparedVideos(np.load(place, mmap_mode="r"), tuple(lengths), skipped, digest.hexdigest())


def frames_of(file: Path, shape: VideoShape) -> Iterator[np.ndarray]:
    """uint8 [S, S, C] each. Raises ValueError with the reason."""
    import av

    try:
        with av.open(str(file), metadata_errors="replace") as film:
            if not film.streams.video:
                raise ValueError("has no pictures")
            for count, picture in enumerate(_thinned(film, shape.fps)):
                if count == MOST_FRAMES:
                    return
                yield _squared(picture.to_image().rotate(picture.rotation, expand=True), shape)
    except av.error.FFmpegError as error:
        raise ValueError(f"cannot be read: {error.strerror or type(error).__name__}") from None


def _thinned(film: Any, fps: float) -> Iterator[Any]:
    """Those that come first in each 1/fps of a second; all where that is 0, or a file does not tell the time."""
    next_at = 0.0
    for picture in film.decode(video=0):
        if fps and picture.time is not None:
            if picture.time + 1e-6 < next_at:
                continue
            next_at = max(next_at, picture.time - 1.0 / fps) + 1.0 / fps
        yield picture


def _squared(picture: Image.Image, shape: VideoShape) -> np.ndarray:
    """The middle square, area-averaged."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    cut = picture.convert("RGB" if shape.colour else "L").crop((left, top, left + side, top + side))
    pixels = np.asarray(
        cut.resize((shape.size, shape.size), Image.Resampling.BOX if side > shape.size else Image.Resampling.BICUBIC)
    )
    return pixels.reshape(shape.size, shape.size, -1)


def fingerprint(folder: Path, files: list[Path], shape: VideoShape) -> str:
    """Changes with any file's name, size or time, and with the shape."""
    digest = hashlib.blake2b(repr((LAYOUT, shape)).encode(), digest_size=16)
    for path in files:
        stat = path.stat()
        digest.update(f"{path.relative_to(folder)}|{stat.st_size}|{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()
