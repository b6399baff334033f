"""`maskserve-train evaluate` on one's own pictures: any extractor, published statistics, and the model card."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import nn
from typer.testing import CliRunner

from models.checkpoint import CheckpointConfig, problems, read_config
from models.maskgit.config import UViTConfig
from models.maskgit.network import UViT
from models.tokenizers.vqgan import VQGAN
from models.tokenizers.vqgan_config import VQGANConfig
from models.weights import load_state, save_checkpoint
from tests.training.extractor_files import Asked, Edges, stored
from training.cli import app

COUNT = 40
CLASSES = ["discs", "squares"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 small pictures with sharp edges."""
    root = tmp_path_factory.mktemp("data") / "shapes"
    generator = np.random.default_rng(0)
    for kind in CLASSES:
        (root / kind).mkdir(parents=True)
        for at in range(300):
            picture = Image.new("RGB", (16, 16), tuple(generator.integers(0, 256, 3).tolist()))
            left, top = generator.integers(0, 8, 2).tolist()
            pen = ImageDraw.Draw(picture)
            (pen.ellipse if kind == "discs" else pen.rectangle)((left, top, left + 7, top + 7), fill=(250, 20, 30))
            picture.save(root / kind / f"{at:03}.png")
    return root


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose samples are noise."""
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("run") / "mine" / "checkpoint"
    tokenizer = {"ch": 8, "ch_mult": [1, 1], "num_res_blocks": 1, "z_channels": 8, "codebook_size": 16}
    tokenizer |= {"resolution": 16, "norm_groups": 4, "mid_blocks": 1}
    network = {"codebook_size": 16, "grid": [8, 8], "num_classes": 2, "dim": 16, "depth": 2, "heads": 2}
    modules: dict[str, tuple[nn.Module, dict[str, Any], Path]] = {
        "vqgan": (VQGAN(VQGANConfig.from_dict(tokenizer)), tokenizer, place / "tokenizer"),
        "maskgit": (UViT(UViTConfig.from_dict(network)), network, place),
    }
    for family, (module, architecture, where) in modules.items():
        more: dict[str, Any] = {}
        if family == "maskgit":
            more = {"tokenizer": "tokenizer", "classes": CLASSES, "decoding": {"num_inference_steps": 2}}
        config = CheckpointConfig(family=family, architecture=architecture, licence="MIT", **more)
        save_checkpoint(where, config, module.state_dict(), torch.float32)
    assert problems(place) == []
    return place


@pytest.fixture(scope="module")
def edges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(Edges(), tmp_path_factory.mktemp("files") / "Edges.pt")


def evaluate(checkpoint: Path, folder: Path, tmp_path: Path, *more: object) -> dict[str, Any]:
    out = tmp_path / "scores.json"
    command = ["evaluate", checkpoint, "--data", folder, "--count", COUNT, "--seed", 7, "--out", out, *more]
    CliRunner().invoke(app, list(map(str, command)), catch_exceptions=False)
    return json.loads(out.read_text())


def test_every_measure_is_there_for_every_extractor_beside_floor_and_control(
    untrained: Path, folder: Path, edges: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.evaluate.yardstick.fit", lambda network, data, **how: network.eval())
    scores = evaluate(untrained, folder, tmp_path, "--features", "cls", "--features", edges)
    plain = {"accuracy", "precision", "recall", "density", "coverage", "fid_cls", "kid_cls"}
    named = {f"{word}_edges" for word in ("fid", "kid", "precision", "recall", "density", "coverage")}
    for cloud in ("real", "blurred", "samples"):
        assert set(scores[cloud]) == plain | named
    assert scores["count"] == COUNT and scores["seed"] == 7 and scores["test"] >= 50
    assert scores["features"]["edges"]["dimensions"] == 9 and scores["features"]["cls"]["dimensions"] == 128
    assert scores["features"]["edges"]["against"] == "test images"
    assert scores["real"]["fid_edges"] == scores["tokenizer"]["fid_floor_edges"]
    assert scores["real"]["fid_cls"] == scores["tokenizer"]["fid_floor"]
    for measure in ("fid_edges", "kid_edges"):
        assert scores["real"][measure] < scores["blurred"][measure], "the control is told from the floor"
        assert scores["real"][measure] < scores["samples"][measure], "noise is told from the floor"
    assert scores["real"]["coverage_edges"] > scores["samples"]["coverage_edges"]
    assert scores["tokenizer"]["rfid_edges"] > scores["real"]["fid_edges"]


def test_without_cls_no_classifier_is_trained(untrained: Path, folder: Path, edges: Path, tmp_path: Path) -> None:
    place = shutil.copytree(untrained, tmp_path / "run" / "checkpoint")
    scores = evaluate(place, folder, tmp_path, "--features", edges)
    assert "accuracy" not in scores["samples"] and "fid_cls" not in scores["samples"]
    assert set(scores["features"]) == {"edges"}
    assert not list((tmp_path / "run").rglob("classifier-*"))


def test_published_statistics_take_the_place_of_the_test_images(
    untrained: Path, folder: Path, edges: Path, tmp_path: Path
) -> None:
    np.savez(tmp_path / "far.npz", mu=np.full(9, 3000.0), sigma=np.eye(9))
    near = evaluate(untrained, folder, tmp_path, "--features", edges)
    far = evaluate(untrained, folder, tmp_path, "--features", edges, "--statistics", tmp_path / "far.npz")
    for cloud in ("real", "samples", "blurred"):
        assert far[cloud]["fid_edges"] > 1e7 > near[cloud]["fid_edges"]
        assert far[cloud]["kid_edges"] == near[cloud]["kid_edges"]
    assert far["features"]["edges"]["against"] == "the statistics far.npz"


def test_options_that_do_not_go_together_are_one_line(
    untrained: Path, folder: Path, edges: Path, tmp_path: Path
) -> None:
    np.savez(tmp_path / "s.npz", mu=np.zeros(5), sigma=np.eye(5))
    asked = stored(Asked(), tmp_path / "asked.pt")
    statistics = ["--statistics", tmp_path / "s.npz"]
    for more, says in (
        (["--features", edges, *statistics], "are of 5 features, edges makes 9"),
        (["--features", "cls", *statistics], "exactly one --features besides cls"),
        (["--features", edges, "--features", asked, *statistics], "exactly one --features besides cls"),
        (["--features", edges, "--count", "5"], "5 samples are too few"),
    ):
        with pytest.raises(ValueError, match=says) as caught:
            evaluate(untrained, folder, tmp_path, *more)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="--write is for generators"):
        evaluate(untrained / "tokenizer", folder, tmp_path, "--features", edges, "--write")


def test_a_tokenizer_alone_is_measured(untrained: Path, folder: Path, edges: Path, tmp_path: Path) -> None:
    place = shutil.copytree(untrained / "tokenizer", tmp_path / "vq" / "checkpoint")
    scores = evaluate(place, folder, tmp_path, "--features", edges)
    assert scores["tokenizer"]["rfid_edges"] > scores["tokenizer"]["fid_floor_edges"] > 0
    assert "samples" not in scores and scores["count"] == COUNT


def test_the_numbers_go_into_config_and_card_and_the_weights_stay(
    untrained: Path, folder: Path, edges: Path, tmp_path: Path
) -> None:
    place = shutil.copytree(untrained, tmp_path / "mine" / "checkpoint")
    weights = load_state(place)
    before = (place / "model.safetensors").read_bytes()
    scores = evaluate(place, folder, tmp_path, "--features", edges, "--write")
    assert problems(place) == []
    assert (place / "model.safetensors").read_bytes() == before and load_state(place).keys() == weights.keys()
    stored_metrics = read_config(place).metrics
    assert stored_metrics["samples"] == scores["samples"] and stored_metrics["count"] == COUNT
    card = (place / "README.md").read_text()
    assert card.startswith("# mine\n") and "Classes: discs, squares." in card
    real, made, control = (scores[cloud]["fid_edges"] for cloud in ("real", "samples", "blurred"))
    rebuilt = scores["tokenizer"]["rfid_edges"]
    assert f"| FID-edges | {real:.3f} | {rebuilt:.3f} | {made:.3f} | {control:.3f} |" in card
    assert f"compares {COUNT} images" in card and f"seeds 7 to\n{7 + COUNT - 1}" in card and "sha256" in card
    assert "checkpoint's defaults" in card and "--data DIR --features FILE --count 40 --seed 7" in card
    for name, columns, rows in (("samples.png", 2, 10), ("neighbours.png", 10, 4)):
        assert f"({name})" in card
        with Image.open(place / name) as picture:
            assert picture.size == (2 * (17 * columns + 1), 2 * (17 * rows + 1))


def test_a_card_that_is_there_keeps_what_its_author_wrote(
    untrained: Path, folder: Path, edges: Path, tmp_path: Path
) -> None:
    place = shutil.copytree(untrained, tmp_path / "mine" / "checkpoint")
    (place / "README.md").write_text("# Shapes\n\nBy me.\n\n## Quality\n\nguessed\n\n## Thanks\n\nto all\n")
    evaluate(place, folder, tmp_path, "--features", edges, "--write", "--set", "temperature=0.5")
    card = (place / "README.md").read_text()
    assert card.startswith("# Shapes\n\nBy me.\n\n## Quality\n\nEach column") and "guessed" not in card
    assert "## Thanks\n\nto all\n" in card and card.count("## Quality") == 1 and "(neighbours.png)" in card
    assert "temperature 0.5" in card and "These are not the checkpoint's defaults." in card
