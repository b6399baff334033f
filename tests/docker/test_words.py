"""Every setting, command and option that docker/ names exists."""

import json
import re
import shlex
from pathlib import Path

import pytest
import typer

from service.cli import app
from service.settings import PREFIX, Settings
from tests.docker.compose_schema import read
from tests.docker.files import DOCKER, arguments, compose, stages

FILES = sorted(path for path in DOCKER.iterdir() if path.is_file())
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
IMAGES = ("maskserve:cpu", "maskserve:cuda")
IN_SERVICE = ("run --rm api", "run --rm worker", "exec api maskserve", "exec worker maskserve")


def described() -> list[list[str]]:
    """`maskserve` command lines of the README, without what comes before the subcommand."""
    blocks = re.findall(r"```sh\n(.*?)```", (DOCKER / "README.md").read_text(), re.S)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    found = []
    for line in lines:
        for start in (*IMAGES, *IN_SERVICE):
            _, hit, rest = line.partition(f" {start}")
            words = shlex.split(rest, comments=True)
            if hit and words and "build" not in line.split():
                found.append(words)
    return found


def run_by_files() -> list[list[str]]:
    services = read(compose()).services
    commands = [services[name].command or [] for name in ("api", "worker")]
    return [*commands, *(json.loads(line) for line in arguments(stages()[-1], "CMD"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_settings_exist(path: Path) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    assert set(re.findall(rf"{PREFIX}[A-Z_]*[A-Z]", path.read_text())) <= known


def test_the_readme_runs_something() -> None:
    assert {words[0] for words in described()} >= {"serve", "worker"}


@pytest.mark.parametrize("words", [*described(), *run_by_files()], ids=" ".join)
def test_commands_and_options_exist(words: list[str]) -> None:
    command = COMMANDS[words[0]]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in words[1:] if word.startswith("--")} <= known


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_that_are_named_exist(path: Path) -> None:
    named = set(re.findall(r"\b(?:compose[\w.]*\.yaml|Dockerfile|\.env\.example|healthcheck\.py)\b", path.read_text()))
    written_by_users = {"compose.override.yaml"}
    assert {name for name in named - written_by_users if not (DOCKER / name).exists()} == set()
