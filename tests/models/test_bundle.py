"""A checkpoint as one self-contained repository, and what a hub reads from its card."""

import json
from pathlib import Path

import pytest
import yaml

from models.bundle import collect, write
from models.catalogue import Catalogue
from models.checkpoint import CheckpointConfig, CheckpointError, DataSource, problems, read_config
from models.importing import UNKNOWN_LICENCE
from models.model_card import front_matter, pictures
from tests.tiny import tiny_checkpoint


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Its tokenizer lies beside it, as an import leaves it."""
    directory = tiny_checkpoint(tmp_path / "models", "mine")
    (directory / "tokenizer").rename(tmp_path / "models" / "tok")
    values = json.loads((directory / "config.json").read_text())
    values |= {"tokenizer": "../tok", "classes": ["chemisé", "b", "c", "d"]}
    (directory / "config.json").write_text(json.dumps(values))
    (directory / "README.md").write_text("# mine\n\n![samples](pictures/samples.png)\n")
    (directory / "pictures").mkdir()
    (directory / "pictures" / "samples.png").write_bytes(b"picture")
    (directory / "state.pt").write_bytes(b"not for others")
    return directory


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_shared_tokenizer_comes_along(tmp_path: Path, checkpoint: Path) -> None:
    before = contents(checkpoint.parent)
    write(collect(checkpoint, "mine"), tmp_path / "elsewhere" / "mine")
    out = tmp_path / "elsewhere" / "mine"
    assert contents(checkpoint.parent) == before
    assert sorted(contents(out)) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "pictures/samples.png",
        "tokenizer/config.json",
        "tokenizer/model.safetensors",
    ]
    assert problems(out) == []
    assert list(Catalogue.scan([out]).entries) == ["mine"]
    config = read_config(out)
    assert config == read_config(checkpoint).model_copy(update={"tokenizer": "tokenizer"})
    for name in ("model.safetensors", "pictures/samples.png"):
        assert (out / name).read_bytes() == (checkpoint / name).read_bytes()


def test_a_self_contained_one_keeps_its_config(tmp_path: Path) -> None:
    directory = tiny_checkpoint(tmp_path)
    files = collect(directory, "tiny")
    assert files["config.json"] == directory / "config.json"
    card = files["README.md"]
    assert isinstance(card, bytes) and b"# tiny\n" in card


def test_a_missing_tokenizer_is_one_line(checkpoint: Path) -> None:
    (checkpoint.parent / "tok" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no \*\.safetensors file"):
        collect(checkpoint, "mine")


@pytest.mark.parametrize(
    ("licence", "said"),
    [
        ("Apache-2.0", {"license": "apache-2.0"}),
        (UNKNOWN_LICENCE, {"license": "unknown"}),
        ("My licence: no, never", {"license": "other", "license_name": "my-licence-no-never"}),
    ],
)
def test_front_matter(licence: str, said: dict[str, str]) -> None:
    names = ("Fashion-MNIST, 60,000 images", "1.0", "??")
    data = [DataSource(name=name, licence="MIT", credit="me") for name in names]
    config = CheckpointConfig(family="maskgit", architecture={}, licence=licence, data=data)
    before, text, after = front_matter(config).split("---\n")
    assert (before, after) == ("", "")
    assert yaml.safe_load(text) == {
        **said,
        "library_name": "maskserve",
        "tags": ["maskserve", "masked-generation", "maskgit"],
        "datasets": ["fashion-mnist", "1.0"],
    }


def test_a_card_with_front_matter_is_left_alone(checkpoint: Path) -> None:
    text = "---\nlicense: mit\n---\n# mine\n"
    (checkpoint / "README.md").write_text(text)
    assert collect(checkpoint, "mine")["README.md"] == text.encode()


def test_pictures_are_those_inside(tmp_path: Path) -> None:
    (tmp_path / "card").mkdir()
    for name in ("secret.png", "card/a.png", "card/b.webp", "card/notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    text = (
        "![a](a.png) ![again](a.png \"title\") <img width=3 src='b.webp'> ![up](../secret.png) ![no](gone.png)\n"
        f"![far](https://example.org/a.png) ![root]({tmp_path}/secret.png) ![text](notes.txt)"
    )
    assert pictures(tmp_path / "card", text) == ["a.png", "b.webp"]
