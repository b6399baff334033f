"""Checkpoints -> official MAR files, and back without a bit lost."""

import shlex
from pathlib import Path

import numpy as np
import pytest
import torch

from models.checkpoint import CheckpointError, problems, read_config
from models.mar.config import MARConfig
from models.mar.exporter import export_mar
from models.weights import load_state, save_checkpoint
from service import load
from tests.cli import refused, run
from tests.models.mar.build import official_state
from tests.tiny import tiny_checkpoint, tiny_mar_checkpoint

SIZES = MARConfig(**{**vars(MARConfig.preset("tiny")), "decoder_dim": 48, "decoder_heads": 6, "diffusion_steps": 5})


def test_the_printed_line_reads_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mine = tiny_mar_checkpoint(tmp_path / "models", "mine", network=SIZES)
    result = run("export", mine, "out", "--layout", "mar")
    assert result.exit_code == 0, result.output
    [line] = [line for line in result.stdout.splitlines() if line.startswith("read it back: ")]
    words = shlex.split(line.removeprefix("read it back: "))[1:]
    assert run(*words).exit_code == 0
    again = Path("mine-imported")
    assert problems(again) == []
    before, after = load_state(mine), load_state(again)
    assert all(torch.equal(before[key], after[key]) for key in before | after)
    kept = {"tokenizer", "architecture", "decoding"}
    assert read_config(again).model_dump(exclude=kept) == read_config(mine).model_dump(exclude=kept)
    with load(mine, threads=1) as first, load(again, threads=1) as second:
        ours, theirs = (model.generate("bag", 2, seed=3, progress=False) for model in (first, second))
    assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(ours, theirs, strict=True))


def test_the_published_names_and_shapes_are_written(tmp_path: Path) -> None:
    five = MARConfig(**{**vars(MARConfig.preset("tiny")), "num_classes": 5})  # as the recorded file has
    export_mar(tiny_mar_checkpoint(tmp_path, network=five), tmp_path / "out")
    written = torch.load(tmp_path / "out" / "checkpoint-last.pth", weights_only=True)["model_ema"]
    wanted = official_state("mar")
    assert {key: value.shape for key, value in written.items()} == {k: v.shape for k, v in wanted.items()}


def test_what_the_layout_cannot_hold_is_named(tmp_path: Path) -> None:
    mine = tiny_mar_checkpoint(tmp_path)
    config = read_config(mine)
    shorter = config.model_copy(update={"architecture": {**config.architecture, "train_steps": 500}})
    save_checkpoint(mine, shorter, load_state(mine))
    with pytest.raises(CheckpointError, match="train_steps is 500, which would be read as 1000"):
        export_mar(mine, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_families_are_refused(tmp_path: Path) -> None:
    codes = tiny_checkpoint(tmp_path)
    assert "is for mar checkpoints, this is maskgit" in refused("export", codes, tmp_path / "out", "--layout", "mar")
    mine = tiny_mar_checkpoint(tmp_path)
    assert "this is mar" in refused("export", mine, tmp_path / "out", "--layout", "autonat")


def test_a_layout_of_one_stack_takes_one_number_of_heads(tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(b"")
    said = refused("import", "autonat", tmp_path / "x.pth", tmp_path / "out", "--tokenizer", tmp_path, "--heads", "2,4")
    assert "heads: this layout has one stack" in said
    assert "unexpected keyword argument 'patch'" in refused(
        *("import", "autonat", tmp_path / "x.pth", tmp_path / "out", "--tokenizer", tmp_path, "--patch", "2")
    )


@pytest.mark.parametrize("heads", ["0", "a,b", "1,2,3", ""])
def test_heads_are_numbers(tmp_path: Path, heads: str) -> None:
    (tmp_path / "x.pth").write_bytes(b"")
    said = refused("import", "mar", tmp_path / "x.pth", tmp_path / "out", "--tokenizer", tmp_path, "--heads", heads)
    assert "--heads is a number, or two with a comma" in said
