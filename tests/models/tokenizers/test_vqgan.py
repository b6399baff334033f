"""The VQGAN against the official numbers, and the independence of an image from its neighbours."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.tokenizers.microbatch import in_microbatches
from models.tokenizers.vqgan import VQGAN
from models.tokenizers.vqgan_config import VQGANConfig

FIXTURES = Path(__file__).parents[2] / "parity" / "maskgit"
PARITY = VQGANConfig(ch=32, ch_mult=(2, 1), z_channels=16, codebook_size=48, resolution=12)
TINY = VQGANConfig.preset("tiny")


@pytest.fixture(scope="module")
def official() -> VQGAN:
    model = VQGAN(PARITY).eval()
    state = load_file(FIXTURES / "vqgan_state_dict.safetensors")
    model.load_state_dict({key: value.float() for key, value in state.items()})
    return model


@pytest.fixture(scope="module")
def io() -> dict[str, Tensor]:
    return load_file(FIXTURES / "vqgan_io.safetensors")


@pytest.fixture
def tiny() -> VQGAN:
    torch.manual_seed(0)
    return VQGAN(TINY).eval()


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@torch.no_grad()
def test_encoder_matches_the_official_features_and_ids(official: VQGAN, io: dict[str, Tensor]) -> None:
    features = official.encode_features(io["image_in"])
    torch.testing.assert_close(features, io["encoder_out"], atol=1e-4, rtol=0)
    ids = official.encode(io["image_in"])
    assert ids.dtype == torch.int64
    assert torch.equal(ids, io["encode_ids"].flatten(1).long())


@torch.no_grad()
def test_decoder_matches_the_official_images(official: VQGAN, io: dict[str, Tensor]) -> None:
    ids = io["codes"].flatten(1).long()
    images = official.decode_features(official.embed(ids))
    torch.testing.assert_close(images, io["decoded"], atol=1e-4, rtol=0)
    torch.testing.assert_close(official.decode(ids), io["decoded"].clamp(0.0, 1.0), atol=1e-4, rtol=0)


@torch.no_grad()
def test_the_shortcut_flag_changes_the_function(io: dict[str, Tensor]) -> None:
    state = load_file(FIXTURES / "vqgan_state_dict.safetensors")
    ordinary = VQGAN(replace(PARITY, shortcut="input"))
    own = ordinary.state_dict()
    assert set(own) == set(state)
    changed = {key for key in own if own[key].shape != state[key].shape}
    assert changed == {
        "encoder.down.0.block.0.nin_shortcut.weight",
        "encoder.down.1.block.0.nin_shortcut.weight",
        "decoder.up.0.block.0.nin_shortcut.weight",
    }


def test_official_size() -> None:
    with torch.device("meta"):
        model = VQGAN(VQGANConfig.preset("imagenet-f16"))
    assert sum(p.numel() for p in model.parameters()) == 54_515_587
    assert len(model.state_dict()) == 168
    assert model.config.factor == 16
    assert model.config.grid == (16, 16)


@pytest.mark.parametrize("preset", ["tiny", "fashion"])
@torch.no_grad()
def test_presets_go_there_and_back(preset: str) -> None:
    config = VQGANConfig.preset(preset)
    model = VQGAN(config).eval()
    images = torch.rand(2, config.in_channels, config.resolution, config.resolution)
    ids = model.encode(images)
    assert ids.shape == (2, config.grid[0] * config.grid[1])
    assert 0 <= int(ids.min()) <= int(ids.max()) < config.codebook_size
    decoded = model.decode(ids)
    assert decoded.shape == images.shape
    assert 0.0 <= float(decoded.min()) <= float(decoded.max()) <= 1.0


@torch.no_grad()
def test_ids_are_in_raster_order(tiny: VQGAN) -> None:
    """A codebook row comes back at the row and column it was put to."""
    ids = torch.arange(16).reshape(1, 16)
    features = tiny.embed(ids)  # [1, z, 4, 4]
    assert torch.equal(features[0, :, 1, 2], tiny.quantize.embedding.weight[6])
    assert torch.equal(tiny.quantize_features(features)[0], ids)


@pytest.mark.parametrize("normalize", [False, True])
def test_gradients_pass_straight_through(normalize: bool) -> None:
    torch.manual_seed(0)
    model = VQGAN(replace(TINY, normalize=normalize))
    features = torch.randn(2, 8, 4, 4, requires_grad=True)
    ids, embeddings = model.quantize_features(features)
    torch.testing.assert_close(embeddings, model.embed(ids))
    weights = torch.randn_like(embeddings)
    (embeddings * weights).sum().backward()
    assert features.grad is not None
    assert torch.equal(features.grad, weights)
    assert model.quantize.embedding.weight.grad is None
    model.embed(ids).square().sum().backward()
    assert model.quantize.embedding.weight.grad is not None
    used = torch.zeros(TINY.codebook_size, dtype=torch.bool).index_fill(0, ids.unique(), True)
    assert not model.quantize.embedding.weight.grad[~used].any()


@torch.no_grad()
def test_normalised_codes_ignore_their_length() -> None:
    torch.manual_seed(0)
    model = VQGAN(replace(TINY, normalize=True))
    images = torch.rand(2, 3, 16, 16)
    ids = model.encode(images)
    decoded = model.decode(ids)
    model.quantize.embedding.weight.mul_(torch.rand(TINY.codebook_size, 1) + 0.5)
    assert torch.equal(model.encode(images), ids)
    torch.testing.assert_close(model.decode(ids), decoded)
    norms = model.encode_features(images).norm(dim=1)
    torch.testing.assert_close(norms, torch.ones_like(norms))


@pytest.mark.parametrize("preset", ["tiny", "fashion"])
@torch.no_grad()
def test_an_image_does_not_depend_on_its_neighbours(preset: str, threads: int) -> None:
    torch.manual_seed(0)
    model = VQGAN(VQGANConfig.preset(preset)).eval()
    config = model.config
    ids = torch.randint(config.codebook_size, (7, config.grid[0] * config.grid[1]))
    lone = [model.decode_batched(row[None]) for row in ids]
    for count in range(1, 8):
        together = model.decode_batched(ids[:count])
        assert torch.equal(together, torch.cat(lone[:count])), count
    assert torch.equal(model.decode_batched(ids.flip(0)), torch.cat(lone).flip(0))
    images = torch.cat(lone)
    features = in_microbatches(model.encode_features, images)
    for index in range(7):
        alone = in_microbatches(model.encode_features, images[index : index + 1])
        assert torch.equal(features[index : index + 1], alone)
    assert torch.equal(
        model.encode_batched(images[3:]),
        torch.cat([model.encode_batched(x[None]) for x in images[3:]]),
    )


@pytest.mark.parametrize("preset", ["tiny", "fashion"])
@torch.no_grad()
def test_pixels_in_another_memory_layout_change_nothing(preset: str) -> None:
    """As they come from a picture file: channels last."""
    torch.manual_seed(0)
    model = VQGAN(VQGANConfig.preset(preset)).eval()
    side, channels = model.config.resolution, model.config.in_channels
    images = torch.rand(5, side, side, channels).permute(0, 3, 1, 2)
    features = in_microbatches(model.encode_features, images)
    alone = torch.cat([in_microbatches(model.encode_features, image[None]) for image in images])
    assert torch.equal(features, alone)
    assert torch.equal(features, in_microbatches(model.encode_features, images.clone().contiguous()))


def test_microbatches_always_hold_two_rows() -> None:
    sizes = []

    def double(rows: Tensor) -> Tensor:
        sizes.append(len(rows))
        return rows * 2

    assert in_microbatches(double, torch.arange(5)).tolist() == [0, 2, 4, 6, 8]
    assert sizes == [2, 2, 2]


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="no multiple of 4"):
        replace(TINY, resolution=18)
    with pytest.raises(ValueError, match="norm_groups 5"):
        replace(TINY, norm_groups=5)
    with pytest.raises(ValueError, match=r"architecture\.chh"):
        VQGANConfig.from_dict({"chh": 3})
    assert VQGANConfig.from_dict({"ch_mult": [1, 2]}).ch_mult == (1, 2)
