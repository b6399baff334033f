"""`maskserve-train image`: a folder as people have them becomes a model that is served."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from models.catalogue import Catalogue
from models.checkpoint import read_config
from models.weights import load_state
from service import load
from tests.drawings import draw
from training.cli import app
from training.data.listing import list_folder
from training.pictures_job import choose_colour, choose_size

CHANGES = {
    "tokenizer.train.steps": 8,
    "tokenizer.train.batch": 16,
    "tokenizer.refine.train.steps": 4,
    "tokenizer.refine.train.batch": 16,
    "tokenizer.perceptual.epochs": 1,
    "tokenizer.network.ch": 16,
    "tokenizer.network.codebook_size": 32,
    "generator.network.codebook_size": 32,
    "generator.network.dim": 48,
    "generator.train.steps": 8,
    "generator.train.batch": 16,
}
SMALL = [part for key, value in CHANGES.items() for part in ("--set", f"{key}={value}")]


def arguments(data: object, out: Path) -> list[str]:
    return ["image", "--data", str(data), "--out", str(out), *SMALL]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty pictures of odd sizes, one of them damaged, one transparent, one CMYK."""
    root = tmp_path_factory.mktemp("mine") / "shapes"
    for kind in ("discs", "squares"):
        (root / kind).mkdir(parents=True)
        for at in range(30):
            draw(kind, at).save(root / kind / f"{at:02}.png")
    draw("discs", 1).convert("RGBA").save(root / "discs" / "00.png")
    clear = draw("discs", 2).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    clear.save(root / "discs" / "02.png")
    draw("squares", 3).convert("CMYK").save(root / "squares" / "cmyk.jpg")
    damaged = root / "squares" / "05.png"
    damaged.write_bytes(damaged.read_bytes()[:90])
    return root


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("runs") / "mine"
    done = CliRunner().invoke(app, arguments(folder, out))
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    return out, done.output


def test_it_says_what_it_found_and_what_was_wrong(trained: tuple[Path, str]) -> None:
    _, said = trained
    assert "discs" in said and "30" in said
    assert "left out: squares/05.png: damaged" in said
    assert "changed: discs/02.png: laid on white" in said and "changed: squares/cmyk.jpg: converted from CMYK" in said
    assert "to finish" in said and "parameters: tokenizer" in said


def test_the_result_is_served_under_the_runs_name(trained: tuple[Path, str]) -> None:
    out, _ = trained
    [entry] = Catalogue.scan([out]).entries.values()
    assert entry.spec.id == "mine" and entry.spec.classes == ("discs", "squares") and entry.spec.size == (16, 16)
    assert Catalogue.scan([out.parent]).entries.keys() == {"mine"}
    with load(entry.path) as model:
        [picture] = model.generate("squares", n=1, seed=1)
    assert picture.size == (16, 16) and picture.mode == "RGB"


def test_the_other_family_follows_the_pictures_too(folder: Path, tmp_path: Path) -> None:
    few = {"tokenizer.perceptual.epochs": 1, "generator.network.diffusion_steps": 4}
    steps = {f"{stage}.train.steps": 4 for stage in ("tokenizer", "generator")}
    batch = {f"{stage}.train.batch": 16 for stage in ("tokenizer", "generator")}
    sizes = {f"generator.network.{stack}_dim": 48 for stack in ("encoder", "decoder")}
    changes = few | steps | batch | sizes
    small = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
    out = tmp_path / "mine"
    command = ["image", "--data", str(folder), "--out", str(out), "--recipe", "image-mar", *small]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    assert "4x4 tokens; parameters: tokenizer" in done.output and "to finish" in done.output
    [entry] = Catalogue.scan([out]).entries.values()
    assert entry.spec.family == "mar" and entry.spec.classes == ("discs", "squares") and entry.spec.size == (16, 16)
    with load(entry.path) as model:
        [picture] = model.generate("squares", n=1, seed=1)
    assert picture.size == (16, 16) and picture.mode == "RGB"


def test_too_few_pictures_are_not_measured(folder: Path, trained: tuple[Path, str]) -> None:
    with pytest.raises(ValueError, match=r"\d held-out pictures; distances need 50"):
        command = ["evaluate", str(trained[0] / "checkpoint"), "--data", str(folder), "--count", "8"]
        CliRunner().invoke(app, command, catch_exceptions=False)


def test_enough_pictures_are_measured_beside_floor_and_control(
    trained: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.evaluate.yardstick.STEPS", 30)
    for kind in ("discs", "squares"):
        (tmp_path / "more" / kind).mkdir(parents=True)
        for at in range(400):
            draw(kind, at).save(tmp_path / "more" / kind / f"{at}.png")
    place = shutil.copytree(trained[0] / "checkpoint", tmp_path / "run" / "checkpoint")
    out = tmp_path / "scores.json"
    command = ["evaluate", str(place), "--data", str(tmp_path / "more"), "--count", "60", "--out", str(out)]
    CliRunner().invoke(app, command, catch_exceptions=False)
    scores = json.loads(out.read_text())
    assert scores["real"]["fid_cls"] < scores["blurred"]["fid_cls"] < scores["samples"]["fid_cls"]
    assert scores["count"] == 60 and scores["test"] >= 50 and scores["data"] == "more"
    assert scores["tokenizer"]["ssim"] < 1 and 0 < scores["tokenizer"]["codebook_usage"] <= 1


def test_a_generator_is_continued_with_other_classes(trained: tuple[Path, str], tmp_path: Path) -> None:
    for kind in ("rings", "squares"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for at in range(20):
            draw(kind, at).save(tmp_path / "data" / kind / f"{at}.png")
    started, out = trained[0] / "checkpoint", tmp_path / "out"
    command = [*arguments(tmp_path / "data", out), "--init-from", str(started), "--set", "generator.train.lr=1e-9"]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert "1 classes known: squares; 1 new: rings" in done.output.replace("\n", " ")
    assert not (out / "tokenizer").exists(), "its tokenizer was taken over"
    old, new = (load_state(place) for place in (started, out / "checkpoint"))
    table = "context_embed.word_embeddings.weight"
    assert torch.allclose(new[table], old[table][[2, 1, 2]], atol=1e-3)
    assert all(torch.allclose(new[key], old[key], atol=1e-3) for key in old if key != table)


def test_old_tokens_never_meet_other_pictures(folder: Path, trained: tuple[Path, str], tmp_path: Path) -> None:
    renamed = shutil.copytree(folder, tmp_path / "data")
    (renamed / "squares").rename(renamed / "boxes")
    out = shutil.copytree(trained[0], tmp_path / "run")
    with pytest.raises(ValueError, match=r"run with another data.*--fresh") as refused:
        CliRunner().invoke(app, arguments(renamed, out), catch_exceptions=False)
    assert "\n" not in str(refused.value)
    assert read_config(out / "checkpoint").classes == ["discs", "squares"]


def test_starting_over_deletes_the_run_and_nothing_else(
    folder: Path, trained: tuple[Path, str], tmp_path: Path
) -> None:
    out = shutil.copytree(trained[0], tmp_path / "run")
    (out / "notes.txt").write_text("mine")
    again = [*arguments(folder, out), "--fresh", "--init-from", str(out / "checkpoint")]
    with pytest.raises(ValueError, match="--fresh would delete"):
        CliRunner().invoke(app, again, catch_exceptions=False)
    assert (out / "checkpoint" / "model.safetensors").is_file()
    CliRunner().invoke(app, [*arguments(folder, out), "--fresh"], catch_exceptions=False)
    assert (out / "notes.txt").read_text() == "mine" and (out / "checkpoint" / "model.safetensors").is_file()


def test_a_run_inside_its_pictures_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="lies inside --data"):
        CliRunner().invoke(app, arguments(folder, folder / "run"), catch_exceptions=False)


def test_what_is_finished_is_skipped(folder: Path, trained: tuple[Path, str]) -> None:
    out, _ = trained
    weights = out / "checkpoint" / "model.safetensors"
    before, journal = weights.read_bytes(), (out / "metrics.jsonl").read_text()
    again = CliRunner().invoke(app, arguments(folder, out))
    assert again.exit_code == 0 and "to finish" not in again.output
    assert weights.read_bytes() == before and (out / "metrics.jsonl").read_text() == journal


def test_a_dry_run_trains_nothing(folder: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*arguments(folder, tmp_path / "o"), "--dry-run"])
    assert done.exit_code == 0 and "Nothing was trained" in done.output and "to finish" in done.output
    assert not list((tmp_path / "o").rglob("*.pt")) and not (tmp_path / "o" / "checkpoint").exists()


def test_a_signal_saves_and_the_same_command_goes_on(folder: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "training.cli",
        "image",
        "--data",
        str(folder),
        "--out",
        str(tmp_path / "o"),
        *SMALL,
    ]
    command += ["--set", "tokenizer.train.steps=100000", "--threads", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as run:
        journal = tmp_path / "o" / "tokenizer" / "metrics.jsonl"
        while not (journal.is_file() and journal.read_text().strip()):
            assert run.poll() is None
        run.send_signal(signal.SIGTERM)
        _, said = run.communicate(timeout=60)
    assert run.returncode == 130 and "the same command goes on" in said
    assert (tmp_path / "o" / "tokenizer" / "state.pt").is_file()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--data", "nowhere"], "nowhere is not a folder"),
        (["--size", "48"], "--size is one of 16, 32"),
        (["--set", "generator.train.stepz=1"], "generator.train.stepz: unknown field"),
        (["--set", "tokenizer.network.codebook_size=64"], "has 64 codes, the generator 32"),
    ],
)
def test_mistakes_are_one_line(folder: Path, tmp_path: Path, more: list[str], says: str) -> None:
    with pytest.raises(ValueError) as caught:
        CliRunner().invoke(app, [*arguments(folder, tmp_path / "o"), *more], catch_exceptions=False)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_size_and_colour_follow_the_pictures(folder: Path, tmp_path: Path) -> None:
    listing = list_folder(folder)
    assert choose_size(listing, None) == 16 and choose_size(listing, 64) == 64
    assert choose_colour(listing, None) and not choose_colour(listing, False)
    for at in range(3):
        Image.fromarray(np.full((200, 90, 3), 40 * at, np.uint8)).save(tmp_path / f"{at}.png")
    grey = list_folder(tmp_path)
    assert not choose_colour(grey, None) and choose_size(grey, None) == 64
