"""What an exporter reports, and what every exporter refuses. Imports without torch."""

import dataclasses
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.checkpoint import CheckpointError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

CARD = "card.json"  # config.json of what was exported, for `maskserve import --card`


@dataclass(frozen=True)
class Exported:
    """An official weight file written from a checkpoint; `command` is the `maskserve import` that reads it back."""

    directory: Path
    files: tuple[str, ...]
    tensors: int
    parameters: int
    command: Sequence[str]

    def __str__(self) -> str:
        return (
            f"{self.directory}: {', '.join(self.files)}; {self.tensors} tensors, {self.parameters:,} parameters\n"
            f"read it back: {shlex.join(self.command)}"
        )


def check_said(
    directory: Path,
    layout: str,
    own: "DataclassInstance",
    inferred: "DataclassInstance",
    ignored: Collection[str] = (),
) -> None:
    """CheckpointError where an importer, which sees tensors alone, would take the architecture for another one."""
    names = [field.name for field in dataclasses.fields(own) if field.name not in ignored]
    wrong = [
        f"{name} is {getattr(own, name)}, which would be read as {getattr(inferred, name)}"
        for name in names
        if getattr(own, name) != getattr(inferred, name)
    ]
    if wrong:
        raise CheckpointError(f"{directory}: the {layout} layout cannot hold it: {'; '.join(wrong)}")
