"""What keeps a command from doing its work: one line on stderr, exit status 2."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

REFUSED = 2


class Refusal(Exception):
    """The message is for whoever typed the command."""


@contextmanager
def one_line(*kinds: type[Exception]) -> Iterator[None]:
    """Turn a Refusal, or one of `kinds`, into a line and the exit status."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, (Refusal, *kinds)):
            raise
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        sys.exit(REFUSED)
