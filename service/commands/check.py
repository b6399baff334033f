"""`maskserve check`: what is wrong with a checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

HELP = """Say what is wrong with a checkpoint directory, or with one on the hub; exit status 1 if anything is.

Looks at config.json, at every weight file and at the tokenizer, and loads them all once."""


@dataclass(frozen=True)
class Verdict:
    """The id a directory is served as (None: not served, or a tokenizer) and a line for each thing wrong with it."""

    id: str | None
    faults: tuple[str, ...] = ()


def examine(directory: Path) -> Verdict:
    """Read all of a checkpoint directory once."""
    from models.catalogue import Catalogue
    from models.checkpoint import CheckpointError

    if not (directory / "config.json").is_file():
        return Verdict(None, (f"{directory}: no config.json: not a checkpoint",))
    catalogue = Catalogue.scan([directory])
    if catalogue.broken:
        return Verdict(None, tuple(catalogue.broken.values()))
    for id, entry in catalogue.entries.items():
        try:
            entry.family.load(entry.spec, entry.path, "cpu", "float32")
        except CheckpointError as error:
            return Verdict(None, (str(error),))
        return Verdict(id)
    return Verdict(None)


def check(
    directories: Annotated[list[Path], typer.Argument(help="Checkpoint directories, or org/name on the hub.")],
) -> None:
    from models.hub import HubError, local

    sound = True
    for directory in directories:
        try:
            verdict = examine(local(directory))
        except HubError as error:
            verdict = Verdict(None, (str(error),))
        for fault in verdict.faults:
            sound = False
            typer.echo(fault, err=True)
        if verdict.id is not None:
            typer.echo(f"{directory}: sound, served as {verdict.id}")
    raise typer.Exit(0 if sound else 1)
