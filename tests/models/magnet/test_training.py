"""What training needs of the network: recorded masks, inputs and losses."""

from functools import partial
from math import comb

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.magnet.config import MAGNeTConfig
from models.magnet.loss import masked_loss
from models.magnet.masking import hidden, masked_starts, span_counts, span_mask
from models.magnet.network import MAGNeT
from tests.models.magnet.build import LM, recorded
from tests.models.magnet.replay import text_rows

close = partial(torch.testing.assert_close, atol=2e-5, rtol=0)
TABLES = [key for key in recorded("train") if key.startswith("lut.")]


@pytest.mark.parametrize("name", TABLES)
def test_tables(name: str) -> None:
    span, length = (int(part[1:]) for part in name.removeprefix("lut.").split("_"))
    assert list(span_counts(length, span)) == recorded("train")[name].tolist()


@pytest.mark.parametrize("codebook", range(LM["n_q"]))
def test_masks_inputs_and_losses(network: MAGNeT, codebook: int) -> None:
    io, given = recorded("train"), recorded("train", f"s{codebook}.")
    ids, config = io["tokens"].long(), network.config
    starts = masked_starts(given["rand_time"], ids.shape[2], config.span)
    mask = span_mask(given["rand_uniform"], starts, config.span)
    assert torch.equal(mask, given["span_mask"])
    seen = hidden(ids, codebook, mask, config.mask_id)
    assert torch.equal(seen, given["input"].long())
    logits = network(seen, codebook, text_rows(network)[: len(ids)])
    loss = masked_loss(logits, ids[:, codebook], mask & io["padding_mask"][:, codebook])
    close(loss, given["ce"][0])


@given(st.integers(1, 60), st.integers(1, 5))
def test_counts_reach_the_share_and_no_more(length: int, span: int) -> None:
    span = min(span, length)
    for percent, count in enumerate(span_counts(length, span)):
        rates = [1.0 - comb(length - span, u) / comb(length, u) for u in range(max(0, count - 1), count + 1)]
        assert rates[-1] >= percent / 100 - 1e-9
        assert count <= 1 or rates[0] < percent / 100 + 1e-9


def test_single_tokens_are_counted() -> None:
    assert masked_starts(torch.tensor([0.0, 0.5, 0.999]), 500, 1).tolist() == [500, 354, 1]
    assert masked_starts(torch.tensor([0.999]), 500, 3).tolist() == [1]


def test_spans_end_with_the_stream() -> None:
    uniforms = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.0]])  # sorted by 4, 0, 1, 2, 3: the second is "first"
    assert span_mask(uniforms, torch.tensor([1]), 3).tolist() == [[False, True, True, True, False]]
    assert span_mask(uniforms.flip(-1), torch.tensor([1]), 3).int().tolist() == [[1, 1, 1, 0, 0]]
    assert span_mask(torch.rand(1, 2), torch.tensor([2]), 3).all()


def test_everything_learns() -> None:
    torch.manual_seed(0)
    config = MAGNeTConfig.preset("tiny")
    network = MAGNeT(config)
    ids = torch.randint(config.codebook_size, (2, 4, 8))
    for codebook in range(4):
        texts = [network.condition(torch.randn(n, config.text_dim)) for n in (3, 1)]
        mask = torch.arange(8).expand(2, 8) % 2 == 0
        logits = network(hidden(ids, codebook, mask, config.mask_id), codebook, texts)
        masked_loss(logits, ids[:, codebook], mask).backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() and gradient.any() for gradient in gradients)


def test_deeper_blocks_begin_smaller() -> None:
    torch.manual_seed(0)
    network = MAGNeT(MAGNeTConfig.preset("tiny")).requires_grad_(False)
    deviations = [float(block.attn.proj.weight.std()) for block in network.blocks]
    assert deviations == pytest.approx([(32 * 2 * (at + 1)) ** -0.5 for at in range(2)], rel=0.1)
