"""Kinds of network, by the `family` of their config.json. Imports without torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

from models.checkpoint import CheckpointError, read_config


class Readable(Protocol):
    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read `architecture` of config.json; ValueError names wrong fields."""


C = TypeVar("C", bound=Readable)
N = TypeVar("N")


@dataclass(frozen=True)
class Kind(Generic[C, N]):
    """`network` builds what a `config` describes, with random weights."""

    config: type[C]
    network: Callable[[Any], N]


def family_of(sizes: C, kinds: Mapping[str, Kind[C, N]]) -> str:
    """What config.json calls a network of these sizes."""
    return next(name for name, kind in kinds.items() if type(sizes) is kind.config)


def read_sizes(place: Path, kinds: Mapping[str, Kind[C, N]], what: str) -> C:
    """The sizes in the directory `place` of a `what`; CheckpointError, in one line, for anything else."""
    card = read_config(place)
    if card.family not in kinds:
        raise CheckpointError(f"{place}: a {card.family} is no {what}; there are: {', '.join(sorted(kinds))}")
    try:
        return kinds[card.family].config.from_dict(card.architecture)
    except ValueError as error:
        raise CheckpointError(f"{place}: {error}") from None
