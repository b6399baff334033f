"""Which pictures a folder holds, before any of them is decoded: subfolders are classes."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
GREY = frozenset({"1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I"})
MIN_SIDE = 8  # pixels; smaller ones are no pictures


@dataclass(frozen=True)
class Source:
    """A picture that can be opened; `mode` and `size` (width, height) are what its header says."""

    path: Path
    label: int
    mode: str
    size: tuple[int, int]

    @property
    def grey(self) -> bool:
        return self.mode in GREY


@dataclass(frozen=True)
class Listing:
    """The pictures of a folder in a fixed order. `skipped`: file -> why it is left out."""

    folder: Path
    classes: tuple[str, ...]
    sources: tuple[Source, ...]
    skipped: dict[Path, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def counts(self) -> dict[str, int]:
        """Pictures per class."""
        found = Counter(source.label for source in self.sources)
        return {name: found[at] for at, name in enumerate(self.classes)}

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
    """Subfolders are classes (nested ones belong to their top one); pictures directly in `folder` are one class.

    Order and labels follow the names, so the same folder gives the same listing. Raises NoPictures.
    """
    if not folder.is_dir():
        raise NoPictures(f"{folder} is not a folder")
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
    if not sources:
        raise NoPictures(f"{folder} holds no picture that can be read ({', '.join(sorted(SUFFIXES))})")
    return Listing(folder, tuple(classes), tuple(sources), skipped)


def _files(place: Path) -> list[Path]:
    return sorted(p for p in place.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file() and not _hidden(p, place))


def _hidden(path: Path, place: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(place).parts)


def _look(path: Path, label: int) -> Source:
    """Open the header only. Raises ValueError with the reason."""
    try:
        with Image.open(path) as picture:
            mode, size = picture.mode, picture.size
    except Exception as error:  # each Pillow plugin has its own ways to fail on broken data
        raise ValueError(f"cannot be read: {_first_line(error)}") from None
    if min(size) < MIN_SIDE:
        raise ValueError(f"is only {size[0]}x{size[1]} pixels")
    return Source(path, label, mode, size)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].split(" '/")[0]
