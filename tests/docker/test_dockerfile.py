"""docker/Dockerfile: what it copies, who runs what, and what a linter says."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from service.settings import PREFIX, Settings
from tests.docker.files import DOCKERFILE, ROOT, arguments, dockerignore, ignored, stages

BASE, BUILDER, FINAL = stages()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def copied() -> list[str]:
    """Sources of COPY in the build context."""
    lines = [line for stage in (BUILDER, FINAL) for line in arguments(stage, "COPY") if not line.startswith("--from")]
    return [source for line in lines for source in line.split()[:-1]]


def test_linter_has_nothing_to_say() -> None:
    beside = Path(sys.executable).with_name("hadolint")
    tool = str(beside) if beside.exists() else shutil.which("hadolint")
    if tool is None:
        assert not os.environ.get("REQUIRE_DOCKER_LINT"), "hadolint is not installed"
        pytest.skip("no hadolint")
    done = subprocess.run([tool, "--no-color", str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_base_image_is_pinned_and_shared() -> None:
    [image] = [line.split()[0] for line in arguments(BASE, "FROM")]
    found = re.fullmatch(r"python:(3\.\d+)-slim-(\w+)", image)
    assert found and found[1] in SpecifierSet(PROJECT["requires-python"])
    assert arguments(BUILDER, "FROM") == ["base AS builder"]
    assert arguments(FINAL, "FROM") == ["base"]


def test_locked_dependencies_and_extras_are_installed_without_a_compiler() -> None:
    [install] = [line for line in arguments(BUILDER, "RUN") if "-r requirements.lock" in line]
    assert "--only-binary=:all:" in install and "-c requirements-dev.lock" in install
    locks = "".join((ROOT / name).read_text() for name in ("requirements.lock", "requirements-dev.lock"))
    pinned = {line.partition("==")[0] for line in locks.splitlines()}
    for extra in ("queue", "artefacts"):
        for package in (Requirement(text).name for text in PROJECT["optional-dependencies"][extra]):
            assert package in install.split() and package in pinned


def test_the_index_of_torch_is_optional() -> None:
    assert '${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"}' in " ".join(arguments(BUILDER, "RUN"))
    assert any(line.startswith("TORCH_INDEX=https://") for line in arguments(BUILDER, "ARG"))


def test_final_image_installs_nothing_and_runs_as_nobody_special() -> None:
    assert not re.search(r"\b(pip|apt|apt-get|curl)\b", " ".join(arguments(FINAL, "RUN")))
    assert arguments(FINAL, "USER") == ["10001:10001"]
    assert arguments(FINAL, "STOPSIGNAL") == ["SIGTERM"]
    last = [word for word, _ in FINAL].index("USER")
    assert not {"RUN", "COPY"} & {word for word, _ in FINAL[last:]}


def test_default_command_is_the_server() -> None:
    assert [json.loads(line) for line in arguments(FINAL, "ENTRYPOINT")] == [["maskserve"]]
    assert [json.loads(line) for line in arguments(FINAL, "CMD")] == [["serve"]]


def test_settings_of_the_image_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in re.findall(rf"({PREFIX}\w+)=(\S+)", " ".join(arguments(FINAL, "ENV"))):
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert (settings.host, str(settings.port)) == ("0.0.0.0", arguments(FINAL, "EXPOSE")[0])
    assert [str(path) for path in settings.models] == ["/app/checkpoints", "/models"]


def test_health_check_runs_a_file_of_the_image() -> None:
    [check] = arguments(FINAL, "HEALTHCHECK")
    command = json.loads(check.partition(" CMD ")[2])
    assert command == ["python", "-I", "/app/healthcheck.py"]
    assert arguments(FINAL, "WORKDIR") == ["/app"] and "docker/healthcheck.py" in copied()


@pytest.mark.parametrize("source", copied())
def test_what_is_copied_exists_and_is_let_in(source: str) -> None:
    assert (ROOT / source).exists()
    assert not ignored(source, dockerignore())


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".venv/bin/python",
        "runs/mine/model.safetensors",
        "tests/docker/files.py",
        "docker/.env",
        "docker/models/mine/config.json",
        "docs/workers.md",
        "service/__pycache__/cli.cpython-311.pyc",
        "secret.pem",
    ],
)
def test_everything_else_is_kept_out(path: str) -> None:
    assert ignored(path, dockerignore())


@pytest.mark.parametrize(
    "path", ["service/web/js/api.js", "checkpoints/maskgit-fashion/tokenizer/config.json", "models/maskgit/config.py"]
)
def test_packages_and_checkpoints_are_let_in(path: str) -> None:
    assert (ROOT / path).exists()
    assert not ignored(path, dockerignore())
