"""The `maskserve` command, called as a user calls it."""

from typer.testing import CliRunner, Result

from service.cli import app


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def refused(*words: object) -> str:
    """The one line of a command that ends with status 2."""
    result = run(*words)
    assert result.exit_code == 2, result.output
    [line] = result.stderr.splitlines()
    assert line.startswith("error: ")
    return str(line)
