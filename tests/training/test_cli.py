"""Recipes and the command line: a tiny recipe from nothing to a checkpoint that decodes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from models.checkpoint import problems, read_config
from models.decoder import GenerationRequest
from models.maskgit.family import family
from models.tokenizers.vqgan import VQGAN
from training.cli import app
from training.data import load
from training.evaluate.report import load_tokenizer
from training.recipe import read_recipe, recipe_names

runner = CliRunner()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    small = ["--steps", "6", "--set", "tokenizer.refine.train.steps=4"]
    first = runner.invoke(app, ["run", "tiny-vqgan", "--out", str(out / "vq"), *small])
    assert first.exit_code == 0, first.output
    second = runner.invoke(
        app,
        ["run", "tiny-maskgit", "--out", str(out / "mg"), "--steps", "6",
         "--tokenizer", str(out / "vq" / "checkpoint")],
    )  # fmt: skip
    assert second.exit_code == 0, second.output
    return out


def test_the_checkpoint_is_sound_and_decodes(made: Path) -> None:
    place = made / "mg" / "checkpoint"
    assert problems(place) == []
    config = read_config(place)
    assert config.classes == ["disc", "square", "ring", "bars"]
    decoder = family.load(family.spec("tiny", place, config), place, "cpu", "float32")
    request = GenerationRequest("generate", 1, decoder.spec.sampling, seed=3, n=2)
    sequences = decoder.admit(request)
    for _ in range(4):
        for sequence in sequences:
            work = decoder.next_work(sequence)
            assert work is not None
            decoder.run(work, [sequence])
    pictures = [artifact.array for artifact in decoder.finish(sequences)]
    assert pictures[0].shape == (16, 16, 3) and pictures[0].dtype == np.uint8
    assert not np.array_equal(*pictures)


def test_run_directory_holds_curves_pictures_and_cache(made: Path) -> None:
    run = made / "mg"
    assert (run / "metrics.jsonl").read_text().count("\n") >= 1
    assert list((run / "samples").glob("*.png"))
    assert (run / "tokens.safetensors").is_file()


def test_running_again_changes_nothing(made: Path) -> None:
    weights = made / "mg" / "checkpoint" / "model.safetensors"
    before = weights.read_bytes()
    again = runner.invoke(
        app,
        ["run", "tiny-maskgit", "--out", str(made / "mg"), "--steps", "6",
         "--tokenizer", str(made / "vq" / "checkpoint")],
    )  # fmt: skip
    assert again.exit_code == 0
    assert weights.read_bytes() == before


def test_the_stored_tokenizer_reconstructs_like_its_half_precision(made: Path) -> None:
    tokenizer = load_tokenizer(made / "vq" / "checkpoint")
    assert isinstance(tokenizer, VQGAN)
    images = load("shapes", "test").images[:4] / 255
    assert torch.isfinite(tokenizer.decode(tokenizer.encode(images))).all()


def test_every_recipe_reads_and_is_listed() -> None:
    assert {"fashion-vqgan", "fashion-maskgit", "tiny-vqgan", "tiny-maskgit"} <= set(recipe_names())
    listed = runner.invoke(app, ["recipes"])
    assert all(name in listed.output for name in recipe_names())
    for name in recipe_names():
        recipe = read_recipe(name)
        assert recipe.tokenizer or recipe.generator or recipe.codec or recipe.sound or recipe.video


def test_overrides_are_typed() -> None:
    changes = {"generator.train.lr": "0.5", "generator.objective.ratio": "beta"}
    stage = read_recipe("tiny-maskgit", changes).generator
    assert stage is not None and stage.train.lr == 0.5 and stage.objective.ratio == "beta"


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("nothing", {}, "no recipe 'nothing': there are"),
        ("tiny-vqgan", {"tokenizer.train.stepz": "3"}, "tokenizer.train.stepz: unknown field"),
        ("tiny-vqgan", {"tokenizer.train.steps": "many"}, "tokenizer.train.steps"),
        ("tiny-vqgan", {"generator.train.steps": "3"}, "the recipe has no 'generator'"),
        ("tiny-vqgan", {"colour": "3"}, "unknown key colour"),
    ],
)
def test_mistakes_are_one_line(name: str, changes: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_recipe(name, changes)
    assert says in str(caught.value) and "\n" not in str(caught.value)
