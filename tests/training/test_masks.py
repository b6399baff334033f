"""How many tokens are hidden, and in which order."""

from math import pi

import pytest
import torch
from torch import Tensor

from training.objectives.masks import Order, Ratio, lowest, mask_counts, random_order, twins
from training.randomness import generator_of


@pytest.mark.parametrize(
    ("ratio", "mean", "low"),
    [
        ("cosine", 2 / pi, 0.0),
        ("arccos", 2 / pi, 0.0),
        ("uniform", 0.5, 0.0),
        ("beta", 0.8, 0.3),
        ("normal", 0.867, 0.69),
    ],
)
def test_ratios_have_their_mean_and_range(ratio: Ratio, mean: float, low: float) -> None:
    counts = mask_counts(ratio, 20_000, 256, generator_of(ratio)) / 256
    assert counts.mean() == pytest.approx(mean, abs=0.01)
    assert low <= counts.min() < low + 0.15 and counts.max() > 0.96


def test_beta_has_the_spread_of_beta_12_3() -> None:
    assert (mask_counts("beta", 20_000, 256, generator_of("b")) / 256).std() == pytest.approx(0.1, abs=0.01)


def test_at_least_one_token_is_hidden() -> None:
    assert mask_counts("uniform", 1000, 4, generator_of(0)).min() == 1


def test_masks_hide_exactly_the_count_and_reach_every_position() -> None:
    counts = torch.tensor([1, 5, 16, 9])
    assert lowest(random_order("white", 4, (4, 4), generator_of(1)), counts).sum(1).tolist() == counts.tolist()
    spread = lowest(random_order("white", 400, (2, 4), generator_of(2)), torch.full((400,), 2))
    assert (spread.sum(0) > 60).all()


def together(order: Order) -> float:
    """Share of neighbours, right and below, that are hidden together when half of an 8x8 grid is hidden."""
    masks: Tensor = lowest(random_order(order, 2000, (8, 8), generator_of(order)), torch.full((2000,), 32))
    grid = masks.unflatten(1, (8, 8)).float()
    pairs = (grid[:, 1:] * grid[:, :-1]).mean() + (grid[:, :, 1:] * grid[:, :, :-1]).mean()
    return float(pairs / 2)


def test_red_masks_clump_and_blue_ones_keep_apart() -> None:
    red, green, white, blue = map(together, ("red", "green", "white", "blue"))
    assert white == pytest.approx(0.25, abs=0.01)
    assert red > green > white + 0.03 and blue < white - 0.03


def test_twins_are_hidden_in_opposite_order() -> None:
    order = random_order("white", 5, (4, 4), generator_of(3))
    pairs = twins(order)
    assert torch.equal(pairs[0].argsort(), pairs[1].argsort().flip(0)) and len(pairs) == 5
