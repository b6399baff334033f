"""`maskserve export`: checkpoints become official weight files."""

from pathlib import Path
from typing import Annotated

import typer

from service.commands.refusal import Refusal, one_line

HELP = """Write a checkpoint's weights with the key names of the official files, for other programs.

OUT is a new directory: the weight file, the class names, and card.json, which keeps what no tensor shows. The line
of maskserve import that reads it back is printed. A layout that cannot hold the checkpoint says so. Examples:

  maskserve export models/mine out/mine --layout autonat

  maskserve export models/mine out/mine-vqgan --layout vqgan-jax"""


def export_weights(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint or tokenizer directory, or org/name on the hub.")],
    out: Annotated[Path, typer.Argument(help="The directory to write.")],
    layout: Annotated[str, typer.Option(help="Such as autonat, or vqgan-jax for the tokenizer.")],
) -> None:
    from models.checkpoint import CheckpointError
    from models.family import families
    from models.hub import local

    with one_line(CheckpointError, OSError):
        exporters = {name: run for family in families().values() for name, run in family.exporters.items()}
        if layout not in exporters:
            raise Refusal(f"there is no layout {layout!r}; there are: {', '.join(sorted(exporters))}")
        report = exporters[layout](local(checkpoint), out)
    typer.echo(str(report))
