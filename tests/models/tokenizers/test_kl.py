"""The KL autoencoder: the recorded numbers, conversion both ways strict, an image does not depend on its neighbours."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.checkpoint import CheckpointError, read_config
from models.tokenizers.kl import KLAutoencoder
from models.tokenizers.kl_config import KLConfig
from models.tokenizers.kl_importer import import_kl, official_key
from models.weights import load_module
from tests.models.mar.build import RECORDED, official_state, recorded


def as_torch_file(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return as_torch_file(tmp_path / "kl16.ckpt", {"model": official_state("vae")})


@pytest.fixture
def vae(tmp_path: Path, source: Path) -> KLAutoencoder:
    import_kl(source, tmp_path / "kl", resolution=RECORDED["vae"]["image"])
    config = KLConfig.from_dict(read_config(tmp_path / "kl").architecture)
    return load_module(KLAutoencoder(config), tmp_path / "kl")


def test_sizes_are_inferred(vae: KLAutoencoder) -> None:
    sizes = RECORDED["vae"]
    assert vae.config.block_out_channels == tuple(sizes["ch"] * times for times in sizes["ch_mult"])
    assert vae.config.layers_per_block == sizes["num_res_blocks"]
    assert vae.config.latent_channels == sizes["z_channels"]
    assert vae.config.attention == (False, True)
    assert vae.config.scaling_factor == 0.2325


@torch.no_grad()
def test_the_recorded_numbers(vae: KLAutoencoder) -> None:
    io = recorded("vae")
    close = dict(atol=1e-5, rtol=1e-5)
    mean, deviation = vae.moments((io["image"] + 1.0) / 2.0)
    torch.testing.assert_close(mean, io["mean"], **close)
    torch.testing.assert_close(deviation, io["std"], **close)
    torch.testing.assert_close(vae.quant_conv(vae.encoder(io["image"])), io["moments"], **close)
    torch.testing.assert_close(vae.decoder(vae.post_quant_conv(io["mean"])), io["decoded"], **close)

    scale = vae.config.scaling_factor
    torch.testing.assert_close(vae.encode((io["image"] + 1.0) / 2.0), io["mean"] * scale, **close)
    wanted = ((io["decoded"] + 1.0) / 2.0).clamp(0.0, 1.0)
    torch.testing.assert_close(vae.decode(io["mean"] * scale), wanted, **close)


def test_an_image_does_not_know_its_neighbours(vae: KLAutoencoder) -> None:
    torch.manual_seed(0)
    images, latents = torch.rand(5, 3, 16, 16), torch.randn(5, 4, 8, 8)
    for function, rows in ((vae.encode, images), (vae.decode, latents)):
        whole = function(rows)
        assert all(torch.equal(function(rows[at : at + 1]), whole[at : at + 1]) for at in range(len(rows)))


def test_the_published_size() -> None:
    config = KLConfig.preset("kl-16")
    with torch.device("meta"):
        state = KLAutoencoder(config).state_dict()
    assert len(state) == 312
    assert round(sum(value.numel() for value in state.values()) / 1e6, 2) == 66.46
    assert config.grid == (16, 16)
    names = {official_key(5, key) for key in state}
    assert len(names) == 312
    expected = (
        "encoder.down.4.attn.1.q.weight",
        "encoder.down.3.downsample.conv.bias",
        "encoder.mid.block_2.norm2.weight",
        "decoder.mid.attn_1.proj_out.weight",
        "decoder.up.4.block.2.conv1.weight",
        "decoder.up.1.upsample.conv.weight",
        "decoder.up.3.block.0.nin_shortcut.weight",
        "decoder.norm_out.bias",
        "post_quant_conv.weight",
    )
    assert not set(expected) - names
    assert not any("up.0.upsample" in name or "down.4.downsample" in name for name in names)


def test_there_and_back(tmp_path: Path) -> None:
    """Three levels, two channels of which change the width: every key finds its place again."""
    torch.manual_seed(0)
    config = KLConfig(block_out_channels=(32, 32, 64), attention=(False, True, True), latent_channels=3, resolution=16)
    original = KLAutoencoder(config).eval()
    state = {official_key(3, key): value for key, value in original.state_dict().items()}
    source = as_torch_file(tmp_path / "kl.ckpt", {"model": state})
    import_kl(source, tmp_path / "kl", resolution=16)
    found = read_config(tmp_path / "kl")
    assert KLConfig.from_dict(found.architecture) == config
    again = load_module(KLAutoencoder(config), tmp_path / "kl")
    images = torch.rand(1, 3, 16, 16)
    assert torch.equal(again.encode(images), original.encode(images))


def test_parts_of_the_loss_are_dropped_and_reported(tmp_path: Path) -> None:
    state = official_state("vae") | {"loss.logvar": torch.zeros(1)}
    report = import_kl(as_torch_file(tmp_path / "kl.ckpt", {"model": state}), tmp_path / "kl", 8)
    assert report.dropped == ("loss.logvar",)


@pytest.mark.parametrize(
    ("drop", "add", "sentence"),
    [
        ("encoder.mid.attn_1.q.bias", {}, r"missing encoder\.mid\.attn_1\.q\.bias$"),
        ("decoder.up.1.upsample.conv.weight", {}, r"missing decoder\.up\.1\.upsample\.conv\.weight$"),
        ("", {"decoder.up.1.attn.0.q.bias": torch.zeros(64)}, r"unexpected decoder\.up\.1\.attn\.0\.q\.bias$"),
        ("", {"decoder.conv_in.bias": torch.zeros(3)}, r"wrong shape decoder\.conv_in\.bias is \[3\], not \[64\]"),
        ("encoder.conv_in.weight", {}, r"encoder\.conv_in\.weight is missing"),
        ("", {"encoder.conv_in.weight": torch.zeros(32, 7, 3, 3)}, r"architecture\.in_channels"),
    ],
)
def test_every_key_is_accounted_for(tmp_path: Path, drop: str, add: dict[str, Tensor], sentence: str) -> None:
    state = {key: value for key, value in official_state("vae").items() if key != drop} | add
    with pytest.raises(CheckpointError, match=sentence):
        import_kl(as_torch_file(tmp_path / "kl.ckpt", {"model": state}), tmp_path / "out", resolution=8)
    assert not (tmp_path / "out").exists()


def test_a_truncated_file(tmp_path: Path, source: Path) -> None:
    source.write_bytes(source.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"kl16\.ckpt: ") as caught:
        import_kl(source, tmp_path / "out")
    assert "\n" not in str(caught.value)
