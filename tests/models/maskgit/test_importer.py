"""Official weight files -> checkpoint directories, with every key accounted for."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.checkpoint import CheckpointError, problems, read_config
from models.maskgit.config import UViTConfig
from models.maskgit.consistency import read_architectures
from models.maskgit.family import MaskGIT
from models.maskgit.importer import RECAP_32, import_autonat
from models.maskgit.network import UViT
from models.spec import Sampling
from models.tokenizers.importer import import_vqgan_jax
from models.tokenizers.vqgan import VQGAN
from models.tokenizers.vqgan_config import VQGANConfig
from models.weights import load_module

FIXTURES = Path(__file__).parents[2] / "parity" / "maskgit"
UVIT = FIXTURES / "uvit_state_dict.safetensors"
VQ = FIXTURES / "vqgan_state_dict.safetensors"


def as_torch_file(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    source = as_torch_file(tmp_path / "vq.ckpt", {"state_dict": load_file(VQ), "global_step": 3})
    import_vqgan_jax(source, tmp_path / "shared-vq", resolution=12, licence="Apache-2.0")
    return tmp_path / "shared-vq"


@torch.no_grad()
def test_both_files_become_one_working_checkpoint(tmp_path: Path, tokenizer: Path) -> None:
    state = load_file(UVIT) | {"token_emb.position_ids": torch.arange(36)[None]}
    source = as_torch_file(tmp_path / "nnet_ema.pth", state)
    out = tmp_path / "models" / "nat"
    report = import_autonat(source, out, tokenizer, heads=4)
    assert report.dropped == ("token_emb.position_ids",)
    assert report.tensors == len(state) - 1
    assert "licence: unknown (see the source repository)" in str(report)
    assert "dropped token_emb.position_ids" in str(report)

    config = read_config(out)
    assert config.tokenizer == "../../shared-vq"
    assert config.classes == [f"class {i}" for i in range(10)]
    assert problems(out) == []
    network, vq = read_architectures(out, config)
    assert (network.codebook_size, network.grid, network.num_classes) == (48, (6, 6), 10)
    assert (network.dim, network.depth, network.heads, network.mlp_ratio) == (32, 4, 4, 4.0)
    assert vq.grid == (6, 6)

    io = load_file(FIXTURES / "forward_io.safetensors")
    logits = load_module(UViT(network), out)(io["ids"].long(), io["labels"].flatten().long())
    torch.testing.assert_close(logits, io["logits_full"], atol=1e-4, rtol=0)
    pixels = load_file(FIXTURES / "vqgan_io.safetensors")
    ids = load_module(VQGAN(vq), tokenizer).encode(pixels["image_in"])
    assert torch.equal(ids, pixels["encode_ids"].flatten(1).long())


def test_the_same_weights_as_safetensors_or_bare(tmp_path: Path, tokenizer: Path) -> None:
    import_vqgan_jax(VQ, tmp_path / "direct", resolution=12, licence="Apache-2.0")
    direct, nested = (d / "model.safetensors" for d in (tmp_path / "direct", tokenizer))
    assert direct.read_bytes() == nested.read_bytes()


@pytest.mark.parametrize("shortcut", ["output", "input"])
def test_a_tokenizer_config_is_inferred(tmp_path: Path, shortcut: Any) -> None:
    config = VQGANConfig(
        ch=32, ch_mult=(1, 2, 3), num_res_blocks=1, mid_blocks=1, z_channels=8, codebook_size=16,
        resolution=64, in_channels=1, shortcut=shortcut,
    )  # fmt: skip
    source = as_torch_file(tmp_path / "vq.ckpt", VQGAN(config).state_dict())
    import_vqgan_jax(source, tmp_path / "vq", resolution=64)
    assert VQGANConfig.from_dict(read_config(tmp_path / "vq").architecture) == config


def changed(state: dict[str, Tensor], drop: str, **add: Tensor) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if key != drop} | add


@pytest.mark.parametrize(
    ("drop", "add", "sentence"),
    [
        ("norm.bias", {}, "missing norm.bias"),
        ("", {"stranger": torch.zeros(1)}, "unexpected stranger"),
        ("norm.bias", {"norm.bias": torch.zeros(3)}, r"wrong shape norm.bias is \[3\], not \[32\]"),
        ("mid_block.mlp.fc1.weight", {}, "mid_block.mlp.fc1.weight is missing"),
        ("out_blocks.1.skip_linear.bias", {}, "missing out_blocks.1.skip_linear.bias"),
    ],
)
def test_every_key_is_accounted_for(
    tmp_path: Path, tokenizer: Path, drop: str, add: dict[str, Tensor], sentence: str
) -> None:
    source = as_torch_file(tmp_path / "nnet.pth", changed(load_file(UVIT), drop, **add))
    with pytest.raises(CheckpointError, match=sentence):
        import_autonat(source, tmp_path / "out", tokenizer, heads=4)
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_with_a_discriminator_is_named(tmp_path: Path) -> None:
    state = load_file(VQ) | {"loss.discriminator.weight": torch.zeros(1)}
    source = as_torch_file(tmp_path / "vq.ckpt", {"state_dict": state})
    with pytest.raises(CheckpointError, match=r"unexpected loss\.discriminator"):
        import_vqgan_jax(source, tmp_path / "out", resolution=12)


class Trap:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


def test_nothing_is_executed(tmp_path: Path) -> None:
    source = as_torch_file(tmp_path / "evil.pth", {"x": Trap(tmp_path / "sprung")})
    with pytest.raises(CheckpointError, match="cannot be read as plain weights"):
        import_vqgan_jax(source, tmp_path / "out")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([1, 2], "holds a list"),
        ({"epoch": 3}, "not tensors: epoch"),
        ({"x": torch.zeros(1)}, "encoder.conv_in.weight is missing"),
    ],
)
def test_other_files_are_told_apart(tmp_path: Path, content: Any, sentence: str) -> None:
    source = as_torch_file(tmp_path / "some.pth", content)
    with pytest.raises(CheckpointError, match=sentence):
        import_vqgan_jax(source, tmp_path / "out")


@pytest.mark.parametrize("name", ["bad.pth", "bad.safetensors"])
def test_damaged_and_missing_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="No such file"):
        import_vqgan_jax(tmp_path / name, tmp_path / "out")
    (tmp_path / name).write_bytes(b"not weights at all")
    with pytest.raises(CheckpointError, match="cannot be read as plain weights"):
        import_vqgan_jax(tmp_path / name, tmp_path / "out")


def test_class_names_come_from_a_file(tmp_path: Path, tokenizer: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"animal {i}" for i in range(10)) + "\n")
    import_autonat(UVIT, tmp_path / "out", tokenizer, classes=names, heads=4)
    assert read_config(tmp_path / "out").classes[9] == "animal 9"
    names.write_text("cat\ndog\n")
    with pytest.raises(CheckpointError, match="2 lines, but the model has 10 classes"):
        import_autonat(UVIT, tmp_path / "out", tokenizer, classes=names, heads=4)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"classes": ["cat"]}, "num_classes is 10, but the names listed are 1"),
        ({"decoding": {"temprature": 1}}, r"decoding\.temprature"),
        ({"architecture": {"codebook_size": 7}}, "codebook_size is 7, but its tokenizer has 48"),
        ({"architecture": {"depth": 3}}, "depth 3 must be even"),
        ({"architecture": {"heads": -4}}, r"architecture\.heads"),
    ],
)
def test_parts_that_do_not_fit_are_one_line(
    tmp_path: Path, tokenizer: Path, change: dict[str, Any], sentence: str
) -> None:
    out = tmp_path / "out"
    import_autonat(UVIT, out, tokenizer, heads=4)
    values = json.loads((out / "config.json").read_text())
    for key, value in change.items():
        values[key] = values[key] | value if key == "architecture" else value
    (out / "config.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=sentence) as caught:
        MaskGIT().spec("out", out, read_config(out))
    assert "\n" not in str(caught.value)


def test_official_size_and_defaults() -> None:
    with torch.device("meta"):
        network = UViT(UViTConfig.preset("autonat-l"))
    assert sum(p.numel() for p in network.parameters()) == 193_655_297
    assert len(network.state_dict()) == 314
    assert Sampling(**RECAP_32).reuse == 1
