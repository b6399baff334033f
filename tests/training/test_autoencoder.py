"""Training a KL autoencoder: its terms, its draws, and latents that come out with unit deviation."""

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from models.checkpoint import read_config
from models.tokenizers.kinds import load_tokenizer
from models.tokenizers.kl import KLAutoencoder
from models.tokenizers.kl_config import KLConfig
from training.data import load
from training.data.images import to_unit
from training.objectives.autoencoder import AutoencoderTask, divergence, latent_deviation
from training.objectives.task import StepContext
from training.randomness import generator_of
from training.recipe import read_recipe
from training.runs import run_recipe
from training.settings import AutoencoderSettings, TrainSettings
from training.trainer import Trainer
from training.where import Where

TINY = KLConfig.preset("tiny")
ROWS = torch.arange(16)


def task(**settings: Any) -> AutoencoderTask:
    torch.manual_seed(0)
    return AutoencoderTask(KLAutoencoder(TINY), load("shapes", "train"), AutoencoderSettings(**settings), None)


def terms(own: AutoencoderTask, step: int = 0, mine: slice = slice(0, None, 1)) -> dict[str, Tensor]:
    context = StepContext(step, 10, 0, len(ROWS), mine, own.fetch(ROWS, mine), generator_of(0, step))
    return next(own.losses(context)).scalars


def test_divergence_from_a_unit_gaussian() -> None:
    mean, log_variance = torch.randn(2, 3, 4, 2, 2, generator=generator_of("kl"))
    found = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    unit = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    torch.testing.assert_close(divergence(mean, log_variance), torch.distributions.kl_divergence(found, unit).mean())


def test_a_shared_batch_is_the_batch_of_one() -> None:
    own = task()
    with torch.no_grad():
        whole = terms(own)
        halves = [terms(own, mine=slice(part, None, 2)) for part in (0, 1)]
    for name, value in whole.items():
        torch.testing.assert_close(sum(half[name] for half in halves) / 2, value, atol=1e-6, rtol=1e-5)


def test_latents_are_drawn_anew_in_every_step() -> None:
    own = task()
    with torch.no_grad():
        one, again, other = (terms(own, step)["l1"] for step in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_the_weight_of_the_divergence_counts() -> None:
    with torch.no_grad():
        light, heavy = (terms(task(kl=weight))["kl"] for weight in (1e-3, 1e-1))
    torch.testing.assert_close(100 * light, heavy)


def test_decoder_only_keeps_every_latent(tmp_path: Path) -> None:
    own = task(decoder_only=True, adversarial=0.1, adversarial_from=0.0)
    images = to_unit(own.data.images[:4])
    before, picture = own.tokenizer.encode(images), own.tokenizer.decode(own.tokenizer.encode(images))
    settings = TrainSettings(steps=4, batch=8, lr=1e-3, warmup=1, bf16=False)
    network = Trainer(own, settings, tmp_path, Accelerator(cpu=True)).run()
    assert isinstance(network, KLAutoencoder)
    assert torch.equal(network.encode(images), before)
    assert not torch.equal(network.decode(before), picture)


def test_the_deviation_is_that_of_drawn_latents() -> None:
    own = task()
    images = own.data.images[:64]
    mean, deviation = own.tokenizer.moments(to_unit(images))
    drawn = torch.stack([mean + deviation * torch.randn(mean.shape, generator=generator_of(at)) for at in range(50)])
    assert latent_deviation(own.tokenizer, images) == pytest.approx(float(drawn.std()), rel=0.01)


def test_the_exported_latents_have_unit_deviation(tmp_path: Path) -> None:
    place = run_recipe(read_recipe("tiny-kl", {"tokenizer.train.steps": "8"}), Where(tmp_path / "run"))
    assert read_config(place).family == "kl"
    tokenizer = load_tokenizer(place)
    assert isinstance(tokenizer, KLAutoencoder)
    unscaled = latent_deviation(tokenizer, load("shapes", "train").images)
    assert unscaled * tokenizer.config.scaling_factor == pytest.approx(1.0, rel=2e-3)  # weights are stored in half


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tokenizer.kind": "jpeg"}, "tokenizer.kind: there is no 'jpeg', only kl, vqgan"),
        ({"tokenizer.network.norm_num_groups": "3"}, "width 8 is no multiple of norm_num_groups 3"),
        ({"tokenizer.network.ch": "8"}, "tokenizer.network.ch: unknown field"),
        ({"tokenizer.objective.codebook": "1.0"}, "tokenizer.objective.codebook: unknown field"),
    ],
)
def test_mistakes_are_one_line(changes: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_recipe("tiny-kl", changes)
    assert says in str(caught.value) and "\n" not in str(caught.value)
