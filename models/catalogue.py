"""The checkpoints below some directories: what can be served, and one line for each that cannot. Free of torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from models.checkpoint import CheckpointError, problems, read_config
from models.family import Family, families
from models.hub import cached_name
from models.spec import DecoderSpec

RUN = "checkpoint"  # the directory in a training run that holds what is served


@dataclass(frozen=True)
class Entry:
    spec: DecoderSpec
    path: Path
    family: Family


@dataclass(frozen=True)
class Catalogue:
    """entries by model id (the directory's name); broken: directory -> why it is not served."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def scan(cls, directories: Iterable[Path]) -> "Catalogue":
        """Read every checkpoint directly below `directories` (or such a directory itself).

        A checkpoint is called like its directory; one in `mine/checkpoint`, as training leaves it, is called `mine`,
        and the cached download of `org/mine` too.
        """
        known = families()
        entries: dict[str, Entry] = {}
        broken: dict[str, str] = {}
        for path in _candidates(directories):
            try:
                entry = _entry(path, known)
                if entry is None:
                    continue
            except CheckpointError as error:
                broken[str(path)] = str(error)
                continue
            if entry.spec.id in entries:
                broken[str(path)] = f"the id {entry.spec.id!r} is already taken by {entries[entry.spec.id].path}"
                continue
            entries[entry.spec.id] = entry
        return cls(entries, broken)

    def preferring(self, ids: Iterable[str]) -> "Catalogue":
        """The same, `ids` first: the first of its kind answers where a request names no model."""
        first = {id: self.entries[id] for id in ids if id in self.entries}
        return Catalogue({**first, **self.entries}, self.broken)


def _candidates(directories: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for directory in directories:
        own = directory / "config.json"
        below = (p.parent for pattern in ("*", f"*/{RUN}") for p in directory.glob(f"{pattern}/config.json"))
        found += [directory] if own.exists() else sorted(below)
    return found


def _entry(path: Path, known: Mapping[str, Family]) -> Entry | None:
    """None for a shared tokenizer, which lies beside the models that name it."""
    config = read_config(path)
    if config.tokenizer is None and not config.conditions and config.family not in known:
        return None
    if config.family not in known:
        raise CheckpointError(f"{path}: no installed family is called {config.family!r}")
    wrong = problems(path)
    if wrong:
        raise CheckpointError(wrong[0])
    family = known[config.family]
    return Entry(family.spec(model_id(path), path, config), path, family)


def model_id(path: Path) -> str:
    """What a checkpoint directory is served as."""
    place = path.resolve()
    return cached_name(place) or (place.parent.name if place.name == RUN else place.name)
