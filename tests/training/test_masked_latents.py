"""The objective of MAR: what is hidden, what the network is asked, and what is drawn."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from models.mar.config import MARConfig
from models.mar.network import MAR
from training.data.latents import LatentSet
from training.objectives.masked_latents import MaskedLatentTask, hidden_rows
from training.objectives.masks import shared_count
from training.objectives.task import StepContext
from training.randomness import generator_of
from training.recipe import read_recipe
from training.settings import MaskedLatentSettings

TINY = replace(MARConfig.preset("tiny"), dropout=0.0)
ROWS = torch.arange(24)


def task(deviation: float = 0.1, **settings: Any) -> MaskedLatentTask:
    torch.manual_seed(0)
    mean = torch.randn(1, 64, TINY.length, TINY.token_channels).half()
    latents = LatentSet(mean, torch.full_like(mean, deviation), torch.arange(64) % 4)
    white = torch.zeros(1, 4, 4, dtype=torch.uint8)
    own = MaskedLatentTask(MAR(TINY), latents, MaskedLatentSettings(**settings), lambda network: white)
    torch.nn.init.normal_(own.network.head.leave.weight, std=0.1)  # zeros at first, whatever it is told
    return own


def loss(own: MaskedLatentTask, step: int = 0, mine: slice = slice(0, None, 1)) -> dict[str, Tensor]:
    context = StepContext(step, 10, 0, len(ROWS), mine, own.fetch(ROWS, mine), generator_of(0, step))
    with torch.no_grad():
        return next(own.losses(context)).scalars


@pytest.mark.parametrize("shown", [0, 1, 7, 15])
def test_the_network_is_asked_as_in_decoding(shown: int) -> None:
    """Against its own forward over packed rows."""
    network, g = task().network.eval(), generator_of("rows")
    tokens = torch.randn(3, TINY.length, TINY.token_channels, generator=g)
    order = torch.rand(3, TINY.length, generator=g).argsort(dim=1)
    labels = torch.tensor([0, 3, TINY.null_class])
    hidden = TINY.length - shown
    known = torch.zeros(3, TINY.length, dtype=torch.bool).scatter(1, order[:, hidden:], True)
    with torch.no_grad():
        expected, unknown = network(tokens, labels, known)
        seen = tokens.gather(1, order[:, hidden:, None].expand(-1, -1, TINY.token_channels))
        found = hidden_rows(network, seen, labels, order)
    where = unknown.nonzero()  # row by row, positions rising
    by_place = torch.zeros(3, TINY.length, found.shape[-1])
    by_place.scatter_(1, order[:, :hidden, None].expand(-1, -1, found.shape[-1]), found.unflatten(0, (3, hidden)))
    torch.testing.assert_close(by_place[where[:, 0], where[:, 1]], expected, atol=1e-5, rtol=1e-5)


def test_most_tokens_of_a_batch_are_hidden() -> None:
    counts = torch.tensor([shared_count("normal", 64, generator_of(step)) for step in range(2000)]).float()
    assert counts.min() >= 45 and counts.max() == 64  # 0.7 of 64, rounded up
    assert float(counts.mean() / 64) == pytest.approx(0.86, abs=0.01)


def test_a_shared_batch_is_the_batch_of_one() -> None:
    own = task()
    whole, halves = loss(own), [loss(own, mine=slice(part, None, 2)) for part in (0, 1)]
    for name in ("mse", "vb"):
        torch.testing.assert_close((halves[0][name] + halves[1][name]) / 2, whole[name], atol=1e-5, rtol=1e-5)


def test_every_step_draws_anew() -> None:
    own = task()
    one, again, other = (loss(own, step)["mse"] for step in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_latents_are_drawn_around_their_mean() -> None:
    own, sharp = task(deviation=1.0), task(deviation=0.0)
    assert not torch.equal(loss(own)["mse"], loss(sharp)["mse"])
    own.latents.deviation.zero_()
    assert torch.equal(loss(own)["mse"], loss(sharp)["mse"])


def test_labels_are_dropped_as_often_as_asked() -> None:
    asked: list[Tensor] = []

    def spy(network: MAR, tokens: Tensor, labels: Tensor, order: Tensor) -> Tensor:
        asked.append(labels)
        return hidden_rows(network, tokens, labels, order)

    for share, expected in ((0.0, 0.0), (0.5, 0.5), (1.0, 1.0)):
        own = task(class_dropout=share)
        own.rows = spy
        asked.clear()
        for step in range(20):
            loss(own, step)
        silent = torch.cat(asked) == TINY.null_class
        assert float(silent.float().mean()) == pytest.approx(expected, abs=0.1)


def test_each_hidden_token_is_denoised_several_times() -> None:
    sizes: list[int] = []
    for repeats in (1, 3):
        own = task(repeats=repeats)
        own.network.head.leave.register_forward_hook(lambda module, inputs, out: sizes.append(len(out)))
        loss(own)
    assert sizes[1] == 3 * sizes[0] and sizes[0] % len(ROWS) == 0


def test_gradients_reach_every_tensor() -> None:
    own = task(class_dropout=0.5)
    mine = slice(0, None, 1)
    context = StepContext(3, 10, 0, len(ROWS), mine, own.fetch(ROWS, mine), generator_of(5))
    next(own.losses(context)).value.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in own.network.parameters())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler
def test_a_compiled_task_says_the_same() -> None:
    plain, compiled = task(), task()
    compiled.compile()
    for step in (0, 1):  # other numbers of hidden tokens
        torch.testing.assert_close(loss(plain, step)["mse"], loss(compiled, step)["mse"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"generator.family": "gan"}, "generator.family: there is no 'gan', only mar, maskgit"),
        ({"generator.objective.repeats": "0"}, "generator.objective.repeats"),
        ({"generator.objective.ratio": "most"}, "generator.objective.ratio"),
        ({"generator.objective.teacher": "x"}, "generator.objective.teacher: unknown field"),
        ({"generator.network.codebook_size": "8"}, "generator.network.codebook_size: unknown field"),
        ({"generator.network.diffusion_steps": "1"}, "diffusion_steps 1 is outside 2 to train_steps"),
    ],
)
def test_mistakes_are_one_line(changes: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_recipe("tiny-mar", changes)
    assert says in str(caught.value) and "\n" not in str(caught.value)
