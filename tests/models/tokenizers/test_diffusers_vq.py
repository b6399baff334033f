"""A VQ of diffusers: the numbers are its own, conversion is strict, an image does not depend on its neighbours."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import VQModel
from safetensors.torch import load_file, save_file

from models.catalogue import Catalogue
from models.checkpoint import CheckpointError, problems, read_config
from models.family import families
from models.tokenizers.diffusers_folder import WEIGHTS, find_part, read_sizes
from models.tokenizers.diffusers_importer import import_diffusers_vq
from models.tokenizers.diffusers_vq import DiffusersVQ
from models.tokenizers.kinds import load_tokenizer, read_tokenizer
from models.tokenizers.microbatch import in_microbatches
from tests.vq_folder import save_kl, save_vq

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "attention between": {
        "down_block_types": ("DownEncoderBlock2D", "DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
        "up_block_types": ("AttnUpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"),
        "layers_per_block": 2,
    },
    "lookup": {"lookup_from_codebook": True, "mid_block_add_attention": False, "force_upcast": True},
    "grey": {"in_channels": 1, "out_channels": 1, "vq_embed_dim": None, "act_fn": "gelu"},
}


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_vq(tmp_path / "vq")
    return tmp_path / "vq"


def converted(place: Path, **changes: Any) -> tuple[DiffusersVQ, VQModel]:
    theirs = save_vq(place / "vq", **changes)
    import_diffusers_vq(place / "vq", place / "out")
    ours = load_tokenizer(place / "out")
    assert isinstance(ours, DiffusersVQ)
    return ours, theirs


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_the_numbers_are_those_of_diffusers(tmp_path: Path, variant: str) -> None:
    ours, theirs = converted(tmp_path, **VARIANTS[variant])
    images = torch.rand(2, ours.config.in_channels, 16, 16)
    latents = theirs.encode(images * 2 - 1).latents
    torch.testing.assert_close(ours.latents(images), latents, atol=1e-5, rtol=0)
    ids = theirs.quantize(latents)[2][2].reshape(2, 16)
    assert len(ids.unique()) > 4
    assert torch.equal(ours.encode(images), ids)

    codes = theirs.quantize.embedding(ids).mT.unflatten(2, (4, 4))
    if theirs.config.lookup_from_codebook:
        wanted = theirs.decode(ids, force_not_quantize=True, shape=(2, 4, 4, codes.shape[1])).sample
    else:
        wanted = theirs.decode(codes, force_not_quantize=True).sample
    made = ours.decode(ids)
    torch.testing.assert_close(made, (wanted / 2 + 0.5).clamp(0, 1), atol=1e-5, rtol=0)
    assert made.std() > 0.01


def test_what_is_written_is_a_tokenizer_like_any_other(folder: Path, tmp_path: Path) -> None:
    report = import_diffusers_vq(folder, tmp_path / "out", licence="MIT")
    theirs = load_file(folder / WEIGHTS)
    assert report.tensors == len(theirs) and "licence: MIT" in str(report)
    assert load_file(tmp_path / "out" / "model.safetensors").keys() == theirs.keys()
    assert problems(tmp_path / "out") == []
    sizes = read_tokenizer(tmp_path / "out")
    assert (sizes.resolution, sizes.factor, sizes.grid) == (16, 4, (4, 4))
    assert (sizes.in_channels, sizes.codebook_size) == (3, 32)
    assert read_config(tmp_path / "out").training == {"imported_from": "vq"}
    found = Catalogue.scan([tmp_path / "out"])
    assert not found.entries and not found.broken, "a shared tokenizer is nothing to serve"


@pytest.mark.parametrize("part", ["vqvae", "vqgan"])
def test_a_pipeline_and_a_file_in_the_folder_lead_to_it(tmp_path: Path, part: str) -> None:
    save_vq(tmp_path / "pipeline" / part)
    (tmp_path / "pipeline" / "model_index.json").write_text('{"_class_name": "SomePipeline"}')
    importer = families()["maskgit"].importers["diffusers-vq"]
    importer(tmp_path / "pipeline", tmp_path / "a")
    importer(tmp_path / "pipeline" / "model_index.json", tmp_path / "b")
    importer(tmp_path / "pipeline" / part / WEIGHTS, tmp_path / "c")
    assert len({(tmp_path / name / "model.safetensors").read_bytes() for name in "abc"}) == 1


def test_the_resolution_is_asked_for_or_the_folders_or_the_pictures(folder: Path) -> None:
    assert read_sizes(folder, 32, 64).grid == (8, 8)
    assert read_sizes(folder, None, 64).grid == (4, 4)
    rewrite(folder, sample_size=None)
    assert read_sizes(folder, None, 64).grid == (16, 16)
    with pytest.raises(CheckpointError, match="no sample_size: give the resolution"):
        read_sizes(folder)


def rewrite(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("drop", "add", "sentence"),
    [
        ("quant_conv.bias", {}, "missing quant_conv.bias"),
        ("", {"loss.weight": torch.zeros(1)}, "unexpected loss.weight"),
        ("quant_conv.bias", {"quant_conv.bias": torch.zeros(9)}, r"wrong shape quant_conv.bias is \[9\], not \[6\]"),
        ("quant_conv.bias", {"quant_conv.bias": torch.full((6,), torch.nan)}, "quant_conv.bias is not finite"),
    ],
)
def test_every_key_is_accounted_for(folder: Path, tmp_path: Path, drop: str, add: Any, sentence: str) -> None:
    state = {key: value for key, value in load_file(folder / WEIGHTS).items() if key != drop}
    save_file(state | add, folder / WEIGHTS)
    with pytest.raises(CheckpointError, match=sentence) as caught:
        import_diffusers_vq(folder, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"norm_type": "spatial"}, "norm_type spatial is not supported"),
        ({"out_channels": 1}, "in_channels is 3, but out_channels 1"),
        ({"in_channels": 4, "out_channels": 4}, r"config\.in_channels"),
        ({"sample_size": 18}, "resolution 18 is no multiple of 4"),
        ({"norm_num_groups": 3}, "width 8 is no multiple of norm_num_groups 3"),
        ({"block_out_channels": [8, 16]}, "differ in length"),
        ({"down_block_types": ["DownBlock2D"] * 3}, r"config\.down_block_types"),
        ({"residual": True, "resolution": 3}, "not supported: residual, resolution"),
        ({"_class_name": "AutoencoderTiny"}, "continuous"),
        ({"_class_name": "UNet2DModel"}, "UNet2DModel is no tokenizer"),
    ],
)
def test_what_is_not_supported_is_one_line(folder: Path, tmp_path: Path, changes: Any, sentence: str) -> None:
    rewrite(folder, **changes)
    with pytest.raises(CheckpointError, match=sentence) as caught:
        import_diffusers_vq(folder, tmp_path / "out")
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def test_a_continuous_autoencoder_is_refused(tmp_path: Path) -> None:
    save_kl(tmp_path / "pipeline" / "vae")
    with pytest.raises(CheckpointError, match=r"AutoencoderKL is continuous.*a MAR.*needs a VQ") as caught:
        import_diffusers_vq(tmp_path / "pipeline", tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_damaged_folders_are_one_line(folder: Path, tmp_path: Path) -> None:
    def refused(sentence: str) -> None:
        with pytest.raises(CheckpointError, match=sentence) as caught:
            import_diffusers_vq(folder, tmp_path / "out")
        assert "\n" not in str(caught.value)

    weights = folder / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-100])
    refused("cannot be read as plain weights")
    weights.unlink()
    refused("No such file")
    (folder / "config.json").write_text("{")
    assert find_part(folder) is None
    refused("no config.json of a diffusers model")
    (folder / "config.json").write_text("[1]")
    refused("no config.json of a diffusers model")


def test_another_family_is_no_tokenizer(folder: Path, tmp_path: Path) -> None:
    import_diffusers_vq(folder, tmp_path / "out")
    rewrite(tmp_path / "out", family="mar")
    with pytest.raises(CheckpointError, match="a mar is no tokenizer; there are: diffusers-vq, kl, vqgan"):
        read_tokenizer(tmp_path / "out")
    rewrite(tmp_path / "out", family="diffusers-vq", architecture={"resolution": 16, "size": 3})
    with pytest.raises(CheckpointError, match=r"architecture\.size: unknown field"):
        read_tokenizer(tmp_path / "out")


@pytest.mark.parametrize("variant", ["plain", "attention between"])
@torch.no_grad()
def test_an_image_does_not_depend_on_its_neighbours(tmp_path: Path, variant: str, threads: int) -> None:
    model, _ = converted(tmp_path, **VARIANTS[variant])
    ids = torch.randint(32, (7, 16))
    lone = torch.cat([model.decode_batched(row[None]) for row in ids])
    for count in range(1, 8):
        assert torch.equal(model.decode_batched(ids[:count]), lone[:count]), count
        assert torch.equal(model.decode(ids[:count]), lone[:count]), count
    assert torch.equal(model.decode_batched(ids.flip(0)), lone.flip(0))
    features = in_microbatches(model.latents, lone)
    alone = torch.cat([in_microbatches(model.latents, image[None]) for image in lone])
    assert torch.equal(features, alone)
    assert torch.equal(model.encode_batched(lone), torch.cat([model.encode(image[None]) for image in lone]))
