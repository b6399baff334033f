"""`maskserve import`: official weight files become checkpoints."""

from pathlib import Path
from traceback import extract_tb
from typing import Annotated, Any

import typer

from service.commands.refusal import Refusal, one_line

HELP = """Turn an official weight file into a checkpoint directory.

LAYOUT says how the file is laid out; a layout that does not exist lists those that do. Nothing in the file is
executed. The licence of the weights is printed and stored: read it. Examples:

  maskserve import vqgan-jax vqgan_jax_strongaug.ckpt models/vqgan --licence Apache-2.0

  maskserve import autonat nnet_ema.pth models/autonat --tokenizer models/vqgan --classes imagenet.txt

  maskserve import kl kl16.ckpt models/kl-16

  maskserve import mar checkpoint-last.pth models/mar-b --tokenizer models/kl-16 --classes imagenet.txt"""


def import_weights(
    layout: Annotated[str, typer.Argument(help="Such as autonat or vqgan-jax.")],
    source: Annotated[Path, typer.Argument(help="The weight file, or the folder that a library has saved.")],
    out: Annotated[Path, typer.Argument(help="The checkpoint directory to write.")],
    tokenizer: Annotated[Path | None, typer.Option(help="An imported tokenizer directory, referred to.")] = None,
    classes: Annotated[Path | None, typer.Option(help="A text file with one class name a line.")] = None,
    heads: Annotated[
        str | None, typer.Option(help="Attention heads, which no weight shows; ENCODER,DECODER where they differ.")
    ] = None,
    patch: Annotated[
        int | None, typer.Option(min=1, help="Latents per token along a side, which no weight shows.")
    ] = None,
    resolution: Annotated[
        int | None, typer.Option(min=1, help="A tokenizer's pixels a side, which no weight shows.")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Of the weights, as its source says.")] = None,
    card: Annotated[Path | None, typer.Option(help="The card.json of maskserve export: sampling defaults etc.")] = None,
) -> None:
    from models.checkpoint import CheckpointError
    from models.family import families

    with one_line(CheckpointError, OSError, ValueError):
        options: dict[str, Any] = {
            "tokenizer": tokenizer,
            "classes": classes,
            "heads": None if heads is None else _heads(heads),
            "patch": patch,
            "resolution": resolution,
            "licence": licence,
            "card": card,
        }
        given = {name: value for name, value in options.items() if value is not None}
        importers = {name: run for family in families().values() for name, run in family.importers.items()}
        if layout not in importers:
            raise Refusal(f"there is no layout {layout!r}; there are: {', '.join(sorted(importers))}")
        if not source.exists():
            raise Refusal(f"no such file: {source}")
        try:
            report = importers[layout](source, out, **given)
        except TypeError as error:
            if not _is_of_the_call(error):
                raise
            raise Refusal(f"{layout}: {error}") from None
    typer.echo(str(report))


def _is_of_the_call(error: TypeError) -> bool:
    """An option that the layout lacks, or one that it needs: raised before the importer, behind its wrapper, began."""
    return len(extract_tb(error.__traceback__)) <= 2


def _heads(text: str) -> int | tuple[int, ...]:
    """`8` -> 8, `12,16` -> (12, 16). Raises Refusal."""
    numbers = [part.strip() for part in text.split(",")]
    if len(numbers) > 2 or not all(part.isdecimal() and int(part) for part in numbers):
        raise Refusal(f"--heads is a number, or two with a comma, not {text!r}")
    return int(numbers[0]) if len(numbers) == 1 else tuple(map(int, numbers))
