"""`maskserve-train image --tokenizer FOLDER` with a folder that diffusers saved."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from models.checkpoint import CheckpointError, read_config
from models.decoder import GenerationRequest, Kind
from models.maskgit.family import MaskGIT
from models.maskgit.load import load_decoder
from models.tokenizers.diffusers_vq import DiffusersVQ
from models.tokenizers.kinds import load_tokenizer
from models.tokenizers.kl import KLAutoencoder
from tests.vq_folder import save_kl, save_vq
from training.cli import app
from training.given_tokenizer import IMPORTED
from training.marks import OWN
from training.recipe import read_recipe
from training.runs import run_recipe
from training.where import Where

CHANGES = {
    "generator.network.dim": 48,
    "generator.train.steps": 4,
    "generator.train.batch": 8,
    "generator.train.sample_every": 4,
}
SMALL = [part for key, value in CHANGES.items() for part in ("--set", f"{key}={value}")]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp("data") / "blocks", np.random.default_rng(0)
    for kind in ("dark", "light"):
        (root / kind).mkdir(parents=True)
        for at in range(10):
            coarse = rng.integers(0, 128, (4, 4, 3), np.uint8) + (128 if kind == "light" else 0)
            Image.fromarray(coarse.astype(np.uint8)).resize((24, 24)).save(root / kind / f"{at}.png")
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("vq") / "mine"
    save_vq(place)
    return place


def train(pictures: Path, out: Path, tokenizer: Path, *more: str) -> str:
    command = ["image", "--data", str(pictures), "--out", str(out), "--tokenizer", str(tokenizer), *SMALL, *more]
    return CliRunner().invoke(app, command, catch_exceptions=False).output


@pytest.fixture(scope="module")
def trained(pictures: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("runs") / "mine"
    return out, train(pictures, out, folder)


def generated(checkpoint: Path) -> np.ndarray:
    spec = MaskGIT().spec("mine", checkpoint, read_config(checkpoint))
    decoder = load_decoder(spec, checkpoint, "cpu", "float32")
    assert isinstance(decoder.tokenizer, DiffusersVQ)
    [seq] = decoder.admit(GenerationRequest("generate", 1, spec.sampling, seed=1))
    while (work := decoder.next_work(seq)) and work.kind is Kind.STEP:
        decoder.run(work, [seq])
    [artifact] = decoder.finish([seq])
    return artifact.array


def test_the_generator_follows_and_the_checkpoint_stands_alone(trained: tuple[Path, str], tmp_path: Path) -> None:
    out, said = trained
    assert "4x4 tokens; parameters: generator" in said and "16x16 pixels, colour" in said
    assert "tokens 0:00" in said and "tokenizer 0:00" not in said
    alone = shutil.copytree(out / "checkpoint", tmp_path / "elsewhere")
    assert read_config(alone / "tokenizer").family == "diffusers-vq"
    assert read_config(alone).architecture["codebook_size"] == 32
    picture = generated(alone)
    assert picture.shape == (16, 16, 3) and picture.std() > 0


def test_the_same_command_goes_on_and_another_tokenizer_is_noticed(
    pictures: Path, folder: Path, trained: tuple[Path, str], tmp_path: Path
) -> None:
    out = shutil.copytree(trained[0], tmp_path / "run")
    before = (out / "checkpoint" / "model.safetensors").read_bytes()
    train(pictures, out, folder)
    assert (out / "checkpoint" / "model.safetensors").read_bytes() == before
    save_vq(tmp_path / "other", seed=1)
    with pytest.raises(ValueError, match=r"a run with another tokenizer.*--fresh"):
        train(pictures, out, tmp_path / "other")
    assert IMPORTED in OWN
    train(pictures, out, tmp_path / "other", "--fresh")
    assert generated(out / "checkpoint").shape == (16, 16, 3)


def test_a_size_that_is_asked_for_makes_a_larger_grid(pictures: Path, folder: Path, tmp_path: Path) -> None:
    said = train(pictures, tmp_path / "run", folder, "--size", "32", "--dry-run")
    assert "32x32 pixels" in said and "8x8 tokens" in said and "Nothing was trained" in said
    assert not (tmp_path / "run" / IMPORTED).exists()


def test_folders_that_cannot_be_used_are_one_line(pictures: Path, folder: Path, tmp_path: Path) -> None:
    def refused(place: Path, sentence: str) -> None:
        with pytest.raises(CheckpointError, match=sentence) as caught:
            train(pictures, tmp_path / "run", place)
        assert "\n" not in str(caught.value)

    broken = shutil.copytree(folder, tmp_path / "broken")
    weights = broken / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    refused(broken, "cannot be read as plain weights")
    (broken / "config.json").write_text("not JSON")
    refused(broken, "not JSON")
    refused(tmp_path / "nowhere", "No such file")


def test_an_autoencoder_is_for_the_other_family(pictures: Path, tmp_path: Path) -> None:
    save_kl(tmp_path / "kl")
    with pytest.raises(ValueError, match="latents instead of codes, which is for generators of the family mar"):
        train(pictures, tmp_path / "run", tmp_path / "kl")
    changes = {"generator.train.steps": 2, "generator.train.batch": 8, "generator.network.diffusion_steps": 4}
    small = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
    out = tmp_path / "run"
    command = ["image", "--data", str(pictures), "--out", str(out), "--tokenizer", str(tmp_path / "kl"), *small]
    said = CliRunner().invoke(app, [*command, "--recipe", "image-mar"], catch_exceptions=False).output
    assert "4x4 tokens; parameters: generator" in said
    assert read_config(out / "checkpoint").family == "mar"
    assert read_config(out / "checkpoint" / "tokenizer").family == "kl"


def test_an_autoencoder_of_diffusers_is_trained_further(tmp_path: Path) -> None:
    model = save_kl(tmp_path / "kl", scaling_factor=0.5)
    recipe = read_recipe("tiny-kl", {"tokenizer.train.steps": "1", "tokenizer.train.lr": "0.0"})
    place = run_recipe(recipe, Where(tmp_path / "run", tokenizer=tmp_path / "kl"))
    tuned = load_tokenizer(place)
    assert isinstance(tuned, KLAutoencoder) and tuned.config.scaling_factor != 0.5
    images = torch.rand(2, 3, 16, 16)
    mean = model.encode(images * 2 - 1).latent_dist.mean
    torch.testing.assert_close(tuned.moments(images)[0], mean, atol=2e-2, rtol=2e-2)  # stored in half precision
    with pytest.raises(ValueError, match="is no vqgan, which tiny-vqgan trains"):
        run_recipe(read_recipe("tiny-vqgan"), Where(tmp_path / "other", tokenizer=place))
