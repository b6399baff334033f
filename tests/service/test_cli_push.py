"""`maskserve push`, against the hub's own client and a hub on a local port; and commands that name a repository."""

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from models.checkpoint import problems
from models.importing import UNKNOWN_LICENCE
from tests.cli import refused, run
from tests.hubs import TOKEN, Hub, answering, fill_cache
from tests.tiny import tiny_checkpoint

FILES = ["README.md", "config.json", "model.safetensors", "tokenizer/config.json", "tokenizer/model.safetensors"]


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.chdir(tmp_path)
    return tiny_checkpoint(tmp_path / "models", "mine")


@pytest.fixture
def hub() -> Iterator[Hub]:
    with answering(Hub()) as hub:
        yield hub


def test_what_is_pushed_is_a_sound_checkpoint(mine: Path, hub: Hub, tmp_path: Path) -> None:
    hub.files = {"model-00001-of-00002.safetensors": b"old", "notes.md": b"kept"}
    result = run("push", mine, "org/mine", "--endpoint", hub.url)
    assert result.exit_code == 0, result.output
    assert f"{hub.url}/org/mine/commit/" in result.stdout
    assert "serve it: maskserve serve org/mine\n" in result.stdout
    assert sorted(hub.files) == sorted([*FILES, "notes.md"])
    assert not hub.private
    for path, content in hub.files.items():
        (tmp_path / "pulled" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pulled" / path).write_bytes(content)
    assert problems(tmp_path / "pulled") == []
    assert hub.files["README.md"].startswith(b"---\nlicense: apache-2.0\n")


def test_a_private_repository_and_a_branch(mine: Path, hub: Hub) -> None:
    words = ("push", mine, "org/mine", "--endpoint", hub.url, "--private", "--revision", "v2")
    result = run(*words)
    assert result.exit_code == 0, result.output
    assert hub.private and "serve org/mine@v2" in result.stdout
    assert "POST /api/models/org/mine/branch/v2" in hub.asked
    assert "POST /api/models/org/mine/commit/v2" in hub.asked


def test_private_never_means_public(mine: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hub, "private", property(lambda hub: False, lambda hub, value: None))
    line = refused("push", mine, "org/mine", "--endpoint", hub.url, "--private")
    assert "is there and public" in line and hub.files == {}


def test_a_folder_instead_of_a_hub(mine: Path, tmp_path: Path) -> None:
    assert run("push", mine, "--to-folder", "stick/mine").exit_code == 0
    out = tmp_path / "stick" / "mine"
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()) == FILES
    assert run("check", out).exit_code == 0
    assert "stick/mine is not empty" in refused("push", mine, "--to-folder", "stick/mine")


def test_a_dry_run_lists_the_files(mine: Path, hub: Hub) -> None:
    result = run("push", mine, "org/mine", "--dry-run", "--endpoint", hub.url)
    assert result.exit_code == 0, result.output
    assert sorted(line.split()[1] for line in result.stdout.splitlines()) == FILES
    assert hub.asked == []


def test_a_mistake_is_one_line(mine: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Name a repository" in refused("push", mine)
    for name in ("mine", "a/b/c", "org/mine@v1"):
        assert "a repository is named org/name" in refused("push", mine, name)
    assert "is a tokenizer" in refused("push", mine / "tokenizer", "org/mine")
    assert "not a checkpoint" in refused("push", mine.parent, "org/mine")
    assert "no name of a repository" in refused("push", mine, "org/my--mine", "--endpoint", hub.url)
    assert "the hub cannot be reached" in refused("push", mine, "org/mine", "--endpoint", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "the hub answered 401: `hf auth login`" in refused("push", mine, "org/mine", "--endpoint", hub.url)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    assert "no token: `hf auth login`, or set HF_TOKEN" in refused("push", mine, "org/mine", "--endpoint", hub.url)
    (mine / "model.safetensors").write_bytes(b"cut")
    assert "truncated or damaged" in refused("push", mine, "org/mine", "--endpoint", hub.url)
    assert hub.files == {}


def test_an_unknown_licence_is_mentioned(mine: Path) -> None:
    config = mine / "config.json"
    config.write_text(config.read_text().replace("Apache-2.0", UNKNOWN_LICENCE))
    result = run("push", mine, "org/mine", "--dry-run")
    assert result.exit_code == 0 and "may you pass them on" in result.stderr


def test_commands_take_the_name_of_a_repository(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_cache(tmp_path / "cache", "org/mine", mine)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert run("models", "--models", "org/mine").stdout.startswith("mine: maskgit image 16x16")
    assert run("check", "org/mine").stdout == "org/mine: sound, served as mine\n"
    ways: list[tuple[object, ...]] = [("org/mine",), ("mine", "--models", "org/mine"), (mine,)]
    for at, (model, *more) in enumerate(ways):
        result = run("generate", model, "bag", "--seed", 3, "--threads", 1, "--out", f"{at}.png", *more)
        assert result.exit_code == 0, result.output
    assert len({(tmp_path / f"{at}.png").read_bytes() for at in range(len(ways))}) == 1

    assert "org/other: no such directory, not in the cache" in refused("generate", "org/other", "bag")
    for words in (("check", "org/other"), ("models", "--models", "org/other")):
        result = run(*words)
        assert result.exit_code == 1
        assert "org/other: no such directory, not in the cache" in result.stderr
        assert len(result.stderr.splitlines()) == 1
