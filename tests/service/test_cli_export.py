"""`maskserve export`: the line that it prints works, and the one line it says when it does not."""

import shlex
from pathlib import Path

import pytest
import torch

from models.checkpoint import problems
from models.tokenizers.vqgan_config import VQGANConfig
from models.weights import load_state
from tests.cli import refused, run
from tests.tiny import tiny_checkpoint

OFFICIAL_KIND = VQGANConfig(
    ch=32, ch_mult=(1, 2), num_res_blocks=1, mid_blocks=1, z_channels=8, codebook_size=32, resolution=8
)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tiny_checkpoint(tmp_path / "models", "mine", tokenizer=OFFICIAL_KIND)


def test_the_printed_line_reads_it_back(mine: Path) -> None:
    for layout, source, again in (("autonat", mine, "mine"), ("vqgan-jax", mine / "tokenizer", "tokenizer")):
        result = run("export", source, f"out {layout}", "--layout", layout)
        assert result.exit_code == 0, result.output
        [line] = [line for line in result.stdout.splitlines() if line.startswith("read it back: ")]
        program, *words = shlex.split(line.removeprefix("read it back: "))
        assert program == "maskserve"
        assert run(*words).exit_code == 0
        assert problems(Path(f"{again}-imported")) == []
        before, after = load_state(source), load_state(Path(f"{again}-imported"))
        assert all(torch.equal(before[key], after[key]) for key in before | after)
    assert run("check", "mine-imported").stdout == "mine-imported: sound, served as mine-imported\n"


def test_a_mistake_is_one_line(mine: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert "there is no layout 'cuneiform'; there are: autonat, mar, vqgan-jax" in refused(
        "export", mine, "out", "--layout", "cuneiform"
    )
    assert "file is a file" in refused("export", mine, "file", "--layout", "autonat")
    assert "models is not empty" in refused("export", mine, "models", "--layout", "autonat")
    assert "No such file" in refused("export", tmp_path / "absent", "out", "--layout", "autonat")
    assert "for maskgit checkpoints" in refused("export", mine / "tokenizer", "out", "--layout", "autonat")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_one_line(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    monkeypatch.setattr("models.maskgit.exporter.WEIGHTS", "/dev/full")
    assert "out: " in refused("export", mine, "out", "--layout", "autonat")
    assert [path.name for path in tmp_path.iterdir()] == ["models"]
