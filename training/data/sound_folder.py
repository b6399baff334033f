"""A folder of sounds with captions as a data set: decoded once, to one rate and length, into a file that is mapped."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.data.captions import captioned_by_files, captioned_by_list
from training.data.files import files_in, raw_to_npy

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff"})
LEAST_SECONDS = 0.25
MOST_PIECES = 1000  # of one file
BLOCK_SECONDS = 30.0  # read at a time
LAYOUT = 1


class NoSounds(ValueError):
    """The folder cannot be trained on; the message is one line."""


@dataclass(frozen=True)
class SoundShape:
    """What every sound becomes: pieces of `seconds`, mono, `rate` samples a second."""

    rate: int
    seconds: float

    @property
    def samples(self) -> int:
        return round(self.seconds * self.rate)


@dataclass(frozen=True)
class SoundListing:
    """Sounds in the order of their names, with captions."""

    folder: Path
    captions: dict[Path, str]
    skipped: dict[Path, str]


@dataclass(frozen=True)
class PreparedSounds:
    """waves: int16 [N, S]; captions: one each; files: how many they came from; skipped: file -> why it is left out."""

    waves: np.ndarray
    captions: tuple[str, ...]
    files: int
    skipped: dict[str, str]


def list_sounds(folder: Path) -> SoundListing:
    """Captions come from `captions.jsonl` or from text files beside the sounds; else the names of subfolders are what a
    sound is asked for by, and without subfolders its own name. Raises NoSounds, BadCaptions.
    """
    if not folder.is_dir():
        raise NoSounds(f"{folder} is not a folder")
    files = files_in(folder, SUFFIXES)
    captions = captioned_by_list(folder)
    if captions is None:
        captions = captioned_by_files(files)
    if captions is None:
        return SoundListing(folder, {path: _named(path.relative_to(folder)) for path in files}, {})
    skipped = {path: "has no caption" for path in files if path not in captions}
    return SoundListing(folder, dict(sorted(captions.items())), skipped)


def _named(path: Path) -> str:
    """The folders that it lies in, or else its own name, as words."""
    return " ".join(path.parts[:-1] or (path.stem,)).replace("_", " ").replace("-", " ")


def prepare_sounds(
    listing: SoundListing, shape: SoundShape, waves: Path, facts: Path, tell: Callable[[int], None]
) -> PreparedSounds:
    """Decode into the two files, or take what lies there if it is of this listing and shape. Long sounds become several
    pieces, short ones end in silence. Raises NoSounds where none can be decoded.
    """
    mark = fingerprint(listing, shape)
    if waves.is_file() and facts.is_file():
        told = json.loads(facts.read_text(encoding="utf-8"))
        if told.get("name") == mark:
            return _mapped(waves, told)
    skipped = {path.relative_to(listing.folder).as_posix(): why for path, why in listing.skipped.items()}
    captions: list[str] = []
    files = 0
    waves.parent.mkdir(parents=True, exist_ok=True)
    facts.unlink(missing_ok=True)  # they come last, once the sounds are theirs
    raw = waves.with_name(f".{waves.name}.raw")
    with raw.open("wb") as out:
        for path, caption in listing.captions.items():
            begin, found = out.tell(), 0
            try:
                for piece in pieces(path, shape):
                    out.write(piece.tobytes())
                    found += 1
            except ValueError as error:
                skipped[path.relative_to(listing.folder).as_posix()] = str(error)
                out.seek(begin)  # what was read before it broke
                out.truncate()
                found = 0
            captions += [caption] * found
            files += found > 0
            tell(1)
    if not captions:
        why = next((f": {name} {reason}" for name, reason in skipped.items()), "")
        raise NoSounds(f"{listing.folder} holds no sound that can be read ({', '.join(sorted(SUFFIXES))}){why}")
    raw_to_npy(raw, waves, (len(captions), shape.samples), np.int16)
    told = {"name": mark, "captions": captions, "files": files, "skipped": skipped}
    facts.write_text(json.dumps(told), encoding="utf-8")
    return _mapped(waves, told)


def pieces(path: Path, shape: SoundShape) -> Iterator[np.ndarray]:
    """int16 [S] each, the last filled up with silence. Raises ValueError with the reason."""
    import soundfile
    import soxr  # type: ignore[import-untyped]

    try:
        with soundfile.SoundFile(path) as sound:
            if sound.frames < LEAST_SECONDS * sound.samplerate:
                raise ValueError(f"has {sound.frames / sound.samplerate:.2f} s, less than {LEAST_SECONDS}")
            convert = soxr.ResampleStream(sound.samplerate, shape.rate, 1, dtype="float32", quality="HQ")
            left, count = np.zeros(0, np.float32), 0
            for block in _blocks(sound):
                left = np.concatenate([left, convert.resample_chunk(block, last=False)])
                while len(left) >= shape.samples and count < MOST_PIECES:
                    yield _sixteen(left[: shape.samples])
                    left, count = left[shape.samples :], count + 1
            left = np.concatenate([left, convert.resample_chunk(np.zeros(0, np.float32), last=True)])
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise ValueError(f"cannot be read: {str(error).splitlines()[0]}") from None
    while len(left) and count < MOST_PIECES:
        part, left = left[: shape.samples], left[shape.samples :]
        if count == 0 or len(part) >= LEAST_SECONDS * shape.rate:
            yield _sixteen(np.pad(part, (0, shape.samples - len(part))))
        count += 1


def _blocks(sound: "object") -> Iterator[np.ndarray]:
    """Mono, float32 [n] each."""
    from soundfile import SoundFile

    assert isinstance(sound, SoundFile)
    for block in sound.blocks(round(BLOCK_SECONDS * sound.samplerate), dtype="float32", always_2d=True):
        if not np.isfinite(block).all():
            raise ValueError("has samples that are not numbers")
        yield block.mean(axis=1)


def _sixteen(wave: np.ndarray) -> np.ndarray:
    return np.rint(wave * 32768.0).clip(-32768, 32767).astype(np.int16)


def _mapped(waves: Path, told: dict[str, object]) -> PreparedSounds:
    captions, files, skipped = told["captions"], told["files"], told["skipped"]
    assert isinstance(captions, list) and isinstance(files, int) and isinstance(skipped, dict)
    return PreparedSounds(np.load(waves, mmap_mode="r"), tuple(captions), files, skipped)


def fingerprint(listing: SoundListing, shape: SoundShape) -> str:
    """Changes with any file's name, caption, size or time, and with the shape."""
    digest = hashlib.blake2b(repr((LAYOUT, shape)).encode(), digest_size=16)
    for path, caption in listing.captions.items():
        stat = path.stat()
        digest.update(f"{path.relative_to(listing.folder)}|{stat.st_size}|{stat.st_mtime_ns}|{caption}\n".encode())
    return digest.hexdigest()
