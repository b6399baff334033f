"""From logits to choices: every row by its own parameters."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.decoding.sampling import filter_logits, guide, log_prob, rank

seeds = st.integers(0, 1000)


def logits_of(seed: int, rows: int = 3, width: int = 12) -> Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed)) * 3


@given(seeds, st.lists(st.integers(0, 15), min_size=3, max_size=3))
def test_top_k_keeps_the_best_k_of_each_row(seed: int, ks: list[int]) -> None:
    logits = logits_of(seed)
    kept = filter_logits(logits, torch.tensor(ks), torch.ones(3))
    for row, out, k in zip(logits, kept, ks, strict=True):
        best = set(row.topk(min(k, 12) if k else 12).indices.tolist())
        assert set(out.isfinite().nonzero().flatten().tolist()) == best
        assert torch.equal(out[out.isfinite()], row[out.isfinite()])


@given(seeds, st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3))
def test_top_p_keeps_the_smallest_set_that_reaches_p(seed: int, ps: list[float]) -> None:
    logits = logits_of(seed)
    kept = filter_logits(logits, torch.zeros(3, dtype=torch.long), torch.tensor(ps))
    for row, out, p in zip(logits.softmax(-1), kept, ps, strict=True):
        inside = row[out.isfinite()]
        assert len(inside) >= 1 and row.max() in inside
        assert inside.sum() >= min(p, 1.0) - 1e-5
        assert inside.sum() - inside.min() < p + 1e-5, "one less would not do"


def test_top_p_counts_what_top_k_left() -> None:
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()
    kept = filter_logits(logits, torch.tensor([2]), torch.tensor([0.56]))
    assert kept.isfinite().tolist() == [[True, False, False, False]]  # 0.4 / 0.7 reaches it


def test_ties_at_the_edge_go_to_the_lowest_index() -> None:
    logits = torch.tensor([[1.0, 2.0, 2.0, 2.0]])
    kept = filter_logits(logits, torch.tensor([2]), torch.ones(1))
    assert kept.isfinite().tolist() == [[False, True, True, False]]


@given(seeds)
def test_guidance_of_one_is_conditional_and_of_zero_is_not(seed: int) -> None:
    cond, uncond = logits_of(seed), logits_of(seed + 1)
    guided = guide(cond, uncond, torch.tensor([1.0, 0.0, 3.0]))
    torch.testing.assert_close(guided[0], cond[0])
    assert torch.equal(guided[1], uncond[1])
    torch.testing.assert_close(guided[2], 3 * cond[2] - 2 * uncond[2])


@given(seeds)
def test_log_probabilities_are_those_of_the_softmax(seed: int) -> None:
    logits = logits_of(seed)
    drawn = torch.tensor([0, 5, 11])
    torch.testing.assert_close(log_prob(logits, drawn).exp(), logits.softmax(-1)[torch.arange(3), drawn])


@given(st.lists(st.lists(st.integers(-3, 3), min_size=6, max_size=6), min_size=1, max_size=3))
def test_ranks_fall_and_ties_keep_their_order(scores: list[list[int]]) -> None:
    order = rank(torch.tensor(scores, dtype=torch.float32))
    assert order.tolist() == [sorted(range(6), key=lambda i, row=row: (-row[i], i)) for row in scores]  # type: ignore[misc]
