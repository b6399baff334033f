"""Checkpoints -> official weight files, and back without a bit lost."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.architecture import architecture_dict
from models.checkpoint import CheckpointError, read_config
from models.exporting import CARD
from models.maskgit.config import UViTConfig
from models.maskgit.exporter import export_autonat
from models.maskgit.importer import import_autonat
from models.maskgit.network import UViT
from models.tokenizers.exporter import export_vqgan_jax
from models.tokenizers.importer import import_vqgan_jax
from models.tokenizers.vqgan_config import VQGANConfig
from models.weights import load_state, save_checkpoint
from service import load
from tests.tiny import tiny_checkpoint

FIXTURES = Path(__file__).parents[2] / "parity" / "maskgit"
OFFICIAL_KIND = VQGANConfig(
    ch=32, ch_mult=(1, 2), num_res_blocks=1, mid_blocks=1, z_channels=8, codebook_size=32, resolution=8
)


def edit(directory: Path, **changes: Any) -> None:
    config = read_config(directory)
    save_checkpoint(directory, config.model_copy(update=changes), load_state(directory))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    directory = tiny_checkpoint(tmp_path, "mine", tokenizer=OFFICIAL_KIND)
    decoding = {"num_inference_steps": 5, "guidance_scale": 2.0, "guidance_schedule": "linear", "anneal": True}
    edit(directory, decoding=decoding, metrics={"fid": 1.5}, noncommercial=True)
    return directory


def test_there_and_back_nothing_is_lost(tmp_path: Path, checkpoint: Path) -> None:
    out, again = tmp_path / "out", tmp_path / "again"
    report = export_autonat(checkpoint, out / "generator")
    assert sorted(path.name for path in (out / "generator").iterdir()) == sorted(report.files)
    export_vqgan_jax(checkpoint, out / "tokenizer")
    import_vqgan_jax(out / "tokenizer" / "vqgan.ckpt", again / "vq", 8, card=out / "tokenizer" / CARD)
    import_autonat(
        out / "generator" / "nnet_ema.pth",
        again / "mine",
        tokenizer=again / "vq",
        classes=out / "generator" / "classes.txt",
        heads=4,
        card=out / "generator" / CARD,
    )
    for one, other in ((checkpoint, again / "mine"), (checkpoint / "tokenizer", again / "vq")):
        before, after = load_state(one), load_state(other)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key], after[key]) for key in before)
    kept = {"tokenizer", "architecture"}
    assert read_config(again / "mine").model_dump(exclude=kept) == read_config(checkpoint).model_dump(exclude=kept)
    assert read_config(again / "vq").architecture == read_config(checkpoint / "tokenizer").architecture

    with load(checkpoint, threads=1) as first, load(again / "mine", threads=1) as second:
        for prompt in ("bag", "sneaker"):
            ours, theirs = (model.generate(prompt, 2, seed=3, progress=False) for model in (first, second))
            assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(ours, theirs, strict=True))


def test_the_official_file_comes_back(tmp_path: Path) -> None:
    official = load_file(FIXTURES / "uvit_state_dict.safetensors")
    torch.save(official | {"token_emb.position_ids": torch.arange(36)[None]}, tmp_path / "nnet_ema.pth")
    import_vqgan_jax(FIXTURES / "vqgan_state_dict.safetensors", tmp_path / "vq", resolution=12)
    imported = import_autonat(tmp_path / "nnet_ema.pth", tmp_path / "nat", tmp_path / "vq", heads=4)
    assert imported.dropped == ("token_emb.position_ids",)

    report = export_autonat(tmp_path / "nat", tmp_path / "out")
    written = torch.load(tmp_path / "out" / "nnet_ema.pth", weights_only=True)
    assert type(written) is dict and written.keys() == official.keys()
    assert all(type(value) is torch.Tensor for value in written.values())
    assert all(torch.equal(written[key], official[key].float()) for key in official)
    assert (report.tensors, report.parameters) == (len(official), sum(v.numel() for v in official.values()))
    with torch.device("meta"):
        network = UViT(UViTConfig.from_dict(read_config(tmp_path / "nat").architecture))
    assert list(written) == list(network.state_dict())
    names = (tmp_path / "out" / "classes.txt").read_text().splitlines()
    assert names == [f"class {i}" for i in range(10)]


def test_a_tokenizer_that_was_given_a_licence_keeps_it(tmp_path: Path, checkpoint: Path) -> None:
    export_vqgan_jax(checkpoint, tmp_path / "out")
    source = tmp_path / "out" / "vqgan.ckpt"
    import_vqgan_jax(source, tmp_path / "kept", 8, card=tmp_path / "out" / CARD)
    import_vqgan_jax(source, tmp_path / "given", 8, "CC0-1.0", card=tmp_path / "out" / CARD)
    assert read_config(tmp_path / "kept").licence == "Apache-2.0"
    assert read_config(tmp_path / "given").licence == "CC0-1.0"


def test_what_cannot_be_said_is_refused(tmp_path: Path, checkpoint: Path) -> None:
    edit(checkpoint, classes=["shirt", "sneaker", " boot", "bag"])
    with pytest.raises(CheckpointError, match="does not fit on a line"):
        export_autonat(checkpoint, tmp_path / "out")
    edit(checkpoint, classes=["a", "b", "c"])
    with pytest.raises(CheckpointError, match="the names listed are 3"):
        export_autonat(checkpoint, tmp_path / "out")
    with pytest.raises(CheckpointError, match="for maskgit checkpoints, this is vqgan"):
        export_autonat(checkpoint / "tokenizer", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_that_do_not_fit_are_refused(tmp_path: Path, checkpoint: Path) -> None:
    deeper = architecture_dict(UViTConfig.from_dict({**read_config(checkpoint).architecture, "depth": 4}))
    edit(checkpoint, architecture=deeper)
    with pytest.raises(CheckpointError, match=r"do not fit: missing in_blocks\.1"):
        export_autonat(checkpoint, tmp_path / "out")
