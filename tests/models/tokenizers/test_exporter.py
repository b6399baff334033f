"""Tokenizers -> the official layout, and those that it cannot hold."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from models.architecture import architecture_dict
from models.checkpoint import CheckpointConfig, CheckpointError
from models.tokenizers.exporter import export_vqgan_jax
from models.tokenizers.importer import import_vqgan_jax
from models.tokenizers.vqgan import VQGAN
from models.tokenizers.vqgan_config import VQGANConfig
from models.weights import save_checkpoint

VQ = Path(__file__).parents[2] / "parity" / "maskgit" / "vqgan_state_dict.safetensors"
CONFIG = VQGANConfig(
    ch=32, ch_mult=(1, 2), num_res_blocks=1, mid_blocks=1, z_channels=8, codebook_size=16, resolution=8
)


def saved(directory: Path, **changes: Any) -> Path:
    config = replace(CONFIG, **changes)
    card = CheckpointConfig(family="vqgan", architecture=architecture_dict(config), licence="CC0-1.0")
    save_checkpoint(directory, card, VQGAN(config).state_dict())
    return directory


def test_the_official_file_comes_back(tmp_path: Path) -> None:
    official = load_file(VQ)
    import_vqgan_jax(VQ, tmp_path / "vq", resolution=12)
    export_vqgan_jax(tmp_path / "vq", tmp_path / "out")
    written = torch.load(tmp_path / "out" / "vqgan.ckpt", weights_only=True)
    assert written.keys() == {"state_dict"}
    state = written["state_dict"]
    assert state.keys() == official.keys()
    assert all(torch.equal(state[key], official[key].float()) for key in official)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"patch": 2}, "in_channels is 3, which would be read as 12; patch is 2, which would be read as 1"),
        ({"norm_groups": 8}, "norm_groups is 8, which would be read as 32"),
        ({"normalize": True}, "normalize is True, which would be read as False"),
        ({"ch_mult": (1, 1), "shortcut": "input"}, "shortcut is input, which would be read as output"),
    ],
)
def test_what_cannot_be_said_is_refused(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CheckpointError, match=sentence):
        export_vqgan_jax(saved(tmp_path / "vq", **changes), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["vq"]


def test_another_kind_of_tokenizer_is_refused(tmp_path: Path) -> None:
    card = CheckpointConfig(family="kl", architecture={}, licence="CC0-1.0")
    save_checkpoint(tmp_path / "kl", card, {"x": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="for vqgan tokenizers, this is a kl"):
        export_vqgan_jax(tmp_path / "kl", tmp_path / "out")
