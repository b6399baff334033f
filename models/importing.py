"""What an importer reports, and what it knows beside tensors. Imports without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.checkpoint import CheckpointError, read_config_file

UNKNOWN_LICENCE = "unknown (see the source repository)"
DESCRIPTION = {"decoding", "quality", "training", "data", "licence", "noncommercial", "metrics"}


@dataclass(frozen=True)
class Imported:
    """A checkpoint written from an official weight file; every key of it was used or dropped."""

    directory: Path
    tensors: int
    parameters: int
    dropped: tuple[str, ...]
    licence: str

    def __str__(self) -> str:
        dropped = f", dropped {', '.join(self.dropped)}" if self.dropped else ""
        return (
            f"{self.directory}: {self.tensors} tensors, {self.parameters:,} parameters{dropped}; "
            f"licence: {self.licence}"
        )


def description(card: Path | None, source: Path, licence: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of config.json that no tensor shows: those of `card`, the config.json of an export, else `defaults`.

    A licence that was given wins over the card's. Raises CheckpointError where `card` is no config.json.
    """
    if card is None:
        return {**defaults, "training": {"imported_from": source.name}, "licence": licence}
    kept = read_config_file(card).model_dump(include=DESCRIPTION)
    return kept if licence == UNKNOWN_LICENCE else {**kept, "licence": licence}


def forbids_commerce(licence: str) -> bool:
    """Whether the name of a licence says so, as Creative Commons' do: CC-BY-NC-4.0."""
    return "NC" in licence.upper().split("-")


def class_names(path: Path | None, count: int) -> list[str]:
    """One per line of a text file, "class 0" and so on without one. CheckpointError where there are not `count`."""
    if path is None:
        return [f"class {index}" for index in range(count)]
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError:
        raise CheckpointError(f"{path}: not a text file of class names") from None
    if len(names) != count or not all(names):
        raise CheckpointError(f"{path}: {len(names)} lines, but the model has {count} classes")
    return names
