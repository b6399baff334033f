"""`maskserve push`: a checkpoint goes to a model hub, or into a folder as it would look there."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.commands.check import examine
from service.commands.refusal import Refusal, one_line

if TYPE_CHECKING:
    from models.hub import HubName

HELP = """Check a checkpoint and upload it, with its tokenizer, so that `maskserve serve org/name` serves it anywhere.

The card gets the front matter that hubs read (licence, tags, data sets) unless it has some; nothing here is changed.
Needs `pip install 'maskserve[hub]'` and a token: `hf auth login`, or HF_TOKEN. Examples:

  maskserve push models/mine org/mine --private

  maskserve push models/mine org/mine --dry-run

  maskserve push models/mine --to-folder stick/mine"""


def push(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint directory.")],
    name: Annotated[str | None, typer.Argument(metavar="ORG/NAME", help="The repository.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Make the repository a private one.")] = False,
    revision: Annotated[str | None, typer.Option(help="The branch, made if it is missing.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="The address of another hub.")] = None,
    to_folder: Annotated[Path | None, typer.Option(help="Write the same files into a new folder instead.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be uploaded.")] = False,
) -> None:
    from models import bundle
    from models.checkpoint import CheckpointError, read_config
    from models.hub import upload
    from models.importing import UNKNOWN_LICENCE

    with one_line(CheckpointError, OSError):
        repository = _repository(name, revision, to_folder)
        verdict = examine(checkpoint)
        if verdict.id is None:
            raise Refusal("; ".join(verdict.faults) or f"{checkpoint} is a tokenizer: push a checkpoint that uses it")
        files = bundle.collect(checkpoint, repository.repo.partition("/")[2] if repository else verdict.id)
        if read_config(checkpoint).licence == UNKNOWN_LICENCE:
            typer.echo("note: the licence of these weights is unknown: may you pass them on?", err=True)
        if dry_run:
            for path, source in files.items():
                typer.echo(f"{bundle.size(source):>12,}  {path}")
        elif to_folder is not None:
            bundle.write(files, to_folder)
            typer.echo(f"{to_folder}: {len(files)} files")
        else:
            assert repository is not None
            address = upload(files, repository, private, endpoint)
            typer.echo(f"{address}: {len(files)} files\nserve it: maskserve serve {repository}")


def _repository(name: str | None, revision: str | None, to_folder: Path | None) -> "HubName | None":
    """The repository of the command line; None where a folder needs none."""
    from models.hub import HubName

    if name is None:
        if to_folder is None:
            raise Refusal("where to? Name a repository, org/name, or --to-folder DIR")
        return None
    found = HubName.parse(name)
    if found is None or found.revision is not None:
        raise Refusal(f"a repository is named org/name, with its branch in --revision; {name!r} is not")
    return HubName(found.repo, revision)
