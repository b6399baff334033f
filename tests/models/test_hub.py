"""Names of repositories, and what the hub's own client finds in its cache."""

import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants
import pytest

from models.catalogue import Catalogue
from models.checkpoint import problems
from models.hub import HubError, HubName, download, local
from tests.hubs import COMMIT, fill_cache
from tests.tiny import tiny_checkpoint


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the client looks, without a network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("org/name", HubName("org/name")),
        ("org/na.me-2@v1", HubName("org/na.me-2", "v1")),
        ("org/name@refs/pr/3", HubName("org/name", "refs/pr/3")),
        ("name", None),
        ("./name", None),
        ("../name", None),
        ("/org/name", None),
        ("a/b/c", None),
        ("org/name@", None),
        ("org/nä", None),
    ],
)
def test_names(text: str, name: HubName | None) -> None:
    assert HubName.parse(text) == name
    assert name is None or str(name) == text


def test_a_snapshot_is_served_under_the_name_of_its_repository(tmp_path: Path, cache: Path) -> None:
    snapshot = fill_cache(cache, "org/mine", tiny_checkpoint(tmp_path / "made"))
    found = local(Path("org/mine"))
    assert found == snapshot and problems(found) == []
    catalogue = Catalogue.scan([found])
    assert list(catalogue.entries) == ["mine"] and not catalogue.broken


def test_a_revision_is_pinned(tmp_path: Path, cache: Path) -> None:
    old = fill_cache(cache, "org/mine", tiny_checkpoint(tmp_path / "old"), "a" * 40, "v1")
    new = fill_cache(cache, "org/mine", tiny_checkpoint(tmp_path / "new", seed=1))
    assert local(Path("org/mine@v1")) == local(Path(f"org/mine@{'a' * 40}")) == old
    assert local(Path("org/mine")) == local(Path(f"org/mine@{COMMIT}")) == new


def test_what_is_here_comes_first(tmp_path: Path, cache: Path) -> None:
    fill_cache(cache, "org/mine", tiny_checkpoint(tmp_path / "made"))
    (tmp_path / "org").mkdir()
    assert local(Path("org/mine")) == Path("org/mine")
    assert local(Path("org/mine@main")).name == COMMIT
    (tmp_path / "org" / "mine").mkdir()
    assert local(Path("org/mine")) == Path("org/mine")


def test_what_is_not_cached_is_one_line(tmp_path: Path, cache: Path) -> None:
    for name in ("org/mine", "org/mine@v9"):
        with pytest.raises(HubError, match=f"{name}: no such directory, not in the cache, and the hub cannot be"):
            local(Path(name))


def test_what_is_no_checkpoint_is_one_line(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "bert"}')
    fill_cache(cache, "org/bert", tmp_path / "other")
    with pytest.raises(HubError, match=r"org/bert: not a checkpoint: .*family: Field required") as caught:
        local(Path("org/bert"))
    assert "\n" not in str(caught.value)


def test_names_that_the_hub_forbids_are_one_line(cache: Path) -> None:
    with pytest.raises(HubError, match="org/na--me: no name of a repository") as caught:
        download(HubName("org/na--me"))
    assert "\n" not in str(caught.value)


def test_without_the_package(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(HubError, match=r"pip install 'maskserve\[hub\]'"):
        local(Path("org/mine"))


def test_local_checkpoints_never_need_it(tmp_path: Path) -> None:
    tiny_checkpoint(tmp_path)
    code = (
        "import sys, pathlib, models.catalogue, models.hub, models.bundle\n"
        f"models.catalogue.Catalogue.scan([models.hub.local(pathlib.Path({str(tmp_path)!r}))])\n"
        "sys.exit(bool({'huggingface_hub', 'torch'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
