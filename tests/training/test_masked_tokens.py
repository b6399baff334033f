"""Mask counts, masks and the loss of the masked-token objective."""

import pytest
import torch

from models.maskgit.config import UViTConfig
from models.maskgit.network import UViT
from training.objectives.masked_tokens import (
    exact_masks,
    logits_where,
    mask_counts,
    masked_loss,
)
from training.randomness import generator_of


def test_cosine_ratio_has_its_mean() -> None:
    counts = mask_counts("cosine", 20_000, 64, generator_of("cosine"))
    assert counts.min() >= 1 and counts.max() == 64
    assert counts.float().mean() / 64 == pytest.approx(2 / torch.pi, abs=0.01)


def test_beta_ratio_has_mean_and_spread_of_beta_12_3() -> None:
    counts = mask_counts("beta", 20_000, 256, generator_of("beta"))
    assert counts.float().mean() / 256 == pytest.approx(0.8, abs=0.01)
    assert counts.float().std() / 256 == pytest.approx(0.1, abs=0.01)


def test_unknown_ratio_is_refused() -> None:
    with pytest.raises(ValueError, match="cosine or beta"):
        mask_counts("uniform", 1, 4, generator_of(0))


def test_masks_hide_exactly_the_count() -> None:
    counts = torch.tensor([1, 5, 16, 9])
    masks = exact_masks(counts, 16, generator_of("masks"))
    assert masks.sum(1).tolist() == counts.tolist()


def test_masks_reach_every_position() -> None:
    masks = exact_masks(torch.full((400,), 2), 8, generator_of("spread"))
    assert (masks.sum(0) > 60).all()


def test_logits_are_those_of_the_network_at_the_places_asked() -> None:
    torch.manual_seed(0)
    network = UViT(UViTConfig.preset("tiny")).eval()
    ids, labels = torch.randint(33, (3, 16)), torch.tensor([0, 4, 2])
    where = torch.rand(3, 16) < 0.5
    expected = network(ids, labels)[where]
    assert torch.allclose(logits_where(network, ids, labels, where), expected, atol=1e-5)


def test_smoothing_has_the_form_of_the_source() -> None:
    logits = torch.randn(1, 8, generator=generator_of("smooth"))
    target = torch.full((8,), 0.1 / 8)
    target[3] += 0.9
    expected = -(target * logits[0].log_softmax(-1)).sum()
    loss = masked_loss(logits, torch.tensor([3]), smoothing=0.1)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
