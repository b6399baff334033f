"""Generators of every family, from a recipe to a checkpoint that decodes, and tokenizers that do not fit them."""

from pathlib import Path

import pytest
import torch

from models.checkpoint import CheckpointError, problems, read_config
from models.mar.consistency import read_architectures
from models.mar.network import MAR
from models.mar.patches import patchify
from models.maskgit.consistency import read_architectures as read_maskgit
from models.tokenizers.kinds import load_tokenizer
from models.tokenizers.kl import KLAutoencoder
from models.weights import load_module
from tests.tiny import tiny_checkpoint, tiny_mar_checkpoint
from training.data import load
from training.data.images import to_unit
from training.data.latents import encode_latents, load_latents
from training.evaluate.sampling import load_decoder, sample_images
from training.generators.mar import MARKind
from training.recipe import read_recipe
from training.runs import run_recipe
from training.where import Where

FEW = {"generator.train.steps": "6", "generator.decoding.num_inference_steps": "2"}


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("tokenizers")
    few = {"tokenizer.train.steps": "4"}
    less = few | {"tokenizer.refine.train.steps": "2"}
    return {
        "kl": run_recipe(read_recipe("tiny-kl", few), Where(out / "kl")),
        "vqgan": run_recipe(read_recipe("tiny-vqgan", less), Where(out / "vq")),
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tokenizers: dict[str, Path]) -> Path:
    where = Where(tmp_path_factory.mktemp("mar"), tokenizer=tokenizers["kl"])
    return run_recipe(read_recipe("tiny-mar", FEW), where)


def test_the_checkpoint_is_sound_and_says_what_it_is(made: Path) -> None:
    assert problems(made) == []
    config = read_config(made)
    assert config.family == "mar" and config.classes == ["disc", "square", "ring", "bars"]
    network, tokenizer = read_architectures(made, config)
    assert network.grid == tokenizer.grid == (4, 4)
    assert config.training["recipe"] == "tiny-mar" and config.training["steps"] == 6


def test_the_checkpoint_decodes(made: Path) -> None:
    decoder = load_decoder(made)
    labels = torch.tensor([0, 1, 2, 3, 0])
    images = sample_images(decoder, labels, decoder.spec.sampling, seed=5, batch=3)
    assert images.shape == (5, 3, 16, 16) and images.dtype == torch.uint8
    alone = sample_images(decoder, labels[3:4], decoder.spec.sampling, seed=8)
    assert torch.equal(alone[0], images[3])


def test_running_again_changes_nothing(made: Path, tokenizers: dict[str, Path]) -> None:
    before = (made / "model.safetensors").read_bytes()
    run_recipe(read_recipe("tiny-mar", FEW), Where(made.parent, tokenizer=tokenizers["kl"]))
    assert (made / "model.safetensors").read_bytes() == before


def test_the_cache_holds_the_moments_of_both_views(tmp_path: Path, tokenizers: dict[str, Path]) -> None:
    tokenizer = load_tokenizer(tokenizers["kl"])
    assert isinstance(tokenizer, KLAutoencoder)
    data = load("shapes", "train")
    seen: list[int] = []
    latents = encode_latents(tokenizer, data.images[:7], data.labels[:7], 2, flip=True, tell=seen.append)
    latents.save(tmp_path / "tokens.safetensors")
    stored = load_latents(tmp_path / "tokens.safetensors")
    assert len(stored) == sum(seen) == 7 and torch.equal(stored.labels, data.labels[:7])
    images = to_unit(data.images[:7])
    for view, picture in enumerate((images, images.flip(-1))):
        mean, deviation = (moment * tokenizer.config.scaling_factor for moment in tokenizer.moments(picture))
        close = dict(atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(stored.mean[view].float(), patchify(mean, 2), **close)
        torch.testing.assert_close(stored.deviation[view].float(), patchify(deviation, 2), **close)


@pytest.mark.parametrize(
    ("recipe", "kind", "changes", "says"),
    [
        ("tiny-maskgit", "kl", {}, "latents instead of codes"),
        ("tiny-mar", "vqgan", {}, "codes instead of latents"),
        ("tiny-mar", "kl", {"generator.network.channels": "8"}, "--set generator.network.channels=4"),
        ("tiny-mar", "kl", {"generator.network.patch": "2"}, "generator.network.grid [4, 4] of 2x2 latents"),
        ("tiny-maskgit", "vqgan", {"generator.network.codebook_size": "8"}, "--set generator.network.codebook_size=32"),
        ("tiny-maskgit", "vqgan", {"generator.network.grid": "[2, 2]"}, "generator.network.grid is [2, 2]"),
    ],
)
def test_tokenizers_that_do_not_fit(
    tmp_path: Path, tokenizers: dict[str, Path], recipe: str, kind: str, changes: dict[str, str], says: str
) -> None:
    with pytest.raises(ValueError) as caught:
        run_recipe(read_recipe(recipe, FEW | changes), Where(tmp_path / "run", tokenizer=tokenizers[kind]))
    assert says in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_checkpoint_with_a_tokenizer_of_the_other_kind(tmp_path: Path) -> None:
    codes, latents = tiny_checkpoint(tmp_path), tiny_mar_checkpoint(tmp_path)
    for place, other, read, says in (
        (codes, latents, read_maskgit, "a maskgit needs a tokenizer with codes"),
        (latents, codes, read_architectures, "a mar needs a tokenizer of kind kl"),
    ):
        config = read_config(place)
        swapped = config.model_copy(update={"tokenizer": f"../{other.name}/tokenizer"})
        with pytest.raises(CheckpointError, match=says) as caught:
            read(place, swapped)
        assert "\n" not in str(caught.value)


def test_a_mar_does_not_start_from_another_generator(tmp_path: Path, tokenizers: dict[str, Path]) -> None:
    where = Where(tmp_path, tokenizer=tokenizers["kl"], init_from=tmp_path / "old")
    with pytest.raises(ValueError, match="--init-from is for generators of the family maskgit"):
        run_recipe(read_recipe("tiny-mar", FEW), where)


def test_captions_are_for_the_other_family() -> None:
    sizes = read_recipe("tiny-kl").tokenizer
    assert sizes is not None
    with pytest.raises(ValueError, match="captions are for the family maskgit"):
        MARKind().following(sizes.network, 40, 4)


def test_samples_of_an_unfinished_network_are_those_of_its_checkpoint(made: Path) -> None:
    decoder = load_decoder(made)
    sizes, _ = read_architectures(made, read_config(made))
    network, sampling = load_module(MAR(sizes), made), decoder.spec.sampling
    unfinished = MARKind().decoder(network, load_tokenizer(made / "tokenizer"), sampling)
    both = [sample_images(one, torch.arange(4), sampling, seed=0) for one in (decoder, unfinished)]
    assert torch.equal(*both)
