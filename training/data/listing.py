"""Which pictures a folder holds, before any of them is decoded, and what they are to be asked for by."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from PIL import Image

from models.captions import terms_of, vocabulary
from training.data.captions import captioned_by_files, captioned_by_list

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
GREY = frozenset({"1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I"})
MIN_SIDE = 8  # pixels; smaller ones are no pictures
MOST_TERMS = 48  # of one caption; longer ones keep the most frequent


@dataclass(frozen=True)
class Source:
    """A picture that can be opened; `mode` and `size` (width, height) are what its header says."""

    path: Path
    label: int
    mode: str
    size: tuple[int, int]
    caption: str = ""

    @property
    def grey(self) -> bool:
        return self.mode in GREY


@dataclass(frozen=True)
class Listing:
    """The pictures of a folder in a fixed order. `skipped`: file -> why it is left out.

    `classes` are names by label; empty where every source has a caption instead. `known` are the terms, and `most` of
    them in a caption, where a checkpoint that is there decides.
    """

    folder: Path
    classes: tuple[str, ...]
    sources: tuple[Source, ...]
    skipped: dict[Path, str] = field(default_factory=dict)
    known: tuple[str, ...] = ()
    most: int = MOST_TERMS

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def counts(self) -> dict[str, int]:
        """Pictures per class."""
        found = Counter(source.label for source in self.sources)
        return {name: found[at] for at, name in enumerate(self.classes)}

    @cached_property
    def conditions(self) -> tuple[str, ...]:
        """What a generator of these pictures can be asked for: the classes, or the terms of the captions."""
        return self.classes or self.known or vocabulary(source.caption for source in self.sources)

    @cached_property
    def words(self) -> int:
        """Terms that a caption has at most; 0 where there are classes."""
        if self.classes:
            return 0
        known = set(self.conditions)
        return min(self.most, max(sum(t in known for t in terms_of(source.caption)) for source in self.sources))

    @property
    def grey(self) -> bool:
        """Every header says so."""
        return all(source.grey for source in self.sources)

    @property
    def median_side(self) -> int:
        """Of the shorter sides."""
        sides = sorted(min(source.size) for source in self.sources)
        return sides[len(sides) // 2]


class NoPictures(ValueError):
    """The folder cannot be trained on; the message is one line."""


def list_folder(folder: Path) -> Listing:
    """What the folder holds, in the order of names, so that the same folder gives the same listing.

    With `captions.jsonl` (or `metadata.jsonl`) in it, or text files beside pictures, the pictures have captions.
    Otherwise subfolders are classes (nested ones belong to their top one), and pictures directly in `folder` are one
    class. Raises NoPictures.
    """
    if not folder.is_dir():
        raise NoPictures(f"{folder} is not a folder")
    captions = captioned_by_list(folder)
    if captions is None:
        captions = captioned_by_files(_files(folder))
    listing = _classes(folder) if captions is None else _captioned(folder, captions)
    if not listing.sources:
        why = next((f": {path.name} {reason}" for path, reason in listing.skipped.items()), "")
        raise NoPictures(f"{folder} holds no picture that can be read ({', '.join(sorted(SUFFIXES))}){why}")
    if not listing.conditions:
        raise NoPictures(f"{folder}: there is not one word in its captions")
    return listing


def _captioned(folder: Path, captions: dict[Path, str]) -> Listing:
    sources: list[Source] = []
    skipped = {path: "has no caption" for path in _files(folder) if path not in captions}
    for path, caption in sorted(captions.items()):
        try:
            sources.append(_look(path, 0, caption))
        except ValueError as error:
            skipped[path] = str(error)
    return Listing(folder, (), tuple(sources), skipped)


def _classes(folder: Path) -> Listing:
    places = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    named = [(place.name, _files(place)) for place in places]
    named = [(name, files) for name, files in named if files]
    loose = sorted(p for p in folder.iterdir() if p.is_file() and p.suffix.lower() in SUFFIXES)
    if named and loose:
        raise NoPictures(f"{folder} holds pictures beside class folders ({loose[0].name}, ...): put them into one")
    if not named:
        named = [(folder.resolve().name, loose)]
    sources: list[Source] = []
    skipped: dict[Path, str] = {}
    classes: list[str] = []
    for name, files in named:
        found = []
        for path in files:
            try:
                found.append(_look(path, len(classes)))
            except ValueError as error:
                skipped[path] = str(error)
        if found:  # a class of damaged files is no class
            classes.append(name)
            sources += found
    return Listing(folder, tuple(classes), tuple(sources), skipped)


def _files(place: Path) -> list[Path]:
    return sorted(p for p in place.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file() and not _hidden(p, place))


def _hidden(path: Path, place: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(place).parts)


def _look(path: Path, label: int, caption: str = "") -> Source:
    """Open the header only. Raises ValueError with the reason."""
    try:
        with Image.open(path) as picture:
            mode, size = picture.mode, picture.size
    except Exception as error:  # each Pillow plugin has its own ways to fail on broken data
        raise ValueError(f"cannot be read: {_first_line(error)}") from None
    if min(size) < MIN_SIDE:
        raise ValueError(f"is only {size[0]}x{size[1]} pixels")
    return Source(path, label, mode, size, caption)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].split(" '/")[0]
