"""Counts, groups, guidance and respacing, against the published rules spelled out once more."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.decoding.plan import Plan, grouped
from models.mar.diffusion import Chains, Coefficients, Process, cosine_betas, posterior, respaced
from models.mar.schedule import guidance_scales, reveal_counts


def test_published_counts() -> None:
    counts = reveal_counts("cosine", 256, 64)
    assert counts[:3] == [1, 1, 1] and counts[-5:] == [6, 7, 6, 6, 6] and max(counts) == 7
    assert reveal_counts("cosine", 256, 256) == [1] * 256
    assert reveal_counts("cosine", 16, 5) == [1, 3, 3, 5, 4]


@given(st.integers(1, 300), st.data())
def test_every_step_reveals_something(length: int, data: st.DataObject) -> None:
    steps = data.draw(st.integers(1, length))
    counts = reveal_counts("cosine", length, steps)
    assert len(counts) == steps and sum(counts) == length and min(counts) >= 1
    masked = length
    for step, count in enumerate(counts, 1):
        rule = max(1, min(masked - 1, math.floor(length * math.cos(math.pi / 2.0 * step / steps))))
        assert masked - count == (rule if step < steps else 0)
        masked -= count


@pytest.mark.parametrize("steps", [0, 17])
def test_impossible_step_numbers_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match=f"16 tokens are revealed in 1 to 16 steps, not {steps}"):
        reveal_counts("cosine", 16, steps)


def test_groups() -> None:
    counts = reveal_counts("cosine", 16, 6)
    assert str(grouped(counts, 1, 2)) == "1,2,2+3,4+4"
    assert str(grouped(counts, 3, 0)) == "1+2+2+3,4+4"


def test_other_schedules_are_the_shared_ones() -> None:
    assert reveal_counts("linear", 16, 4) == [4, 4, 4, 4]


def test_guidance() -> None:
    counts = reveal_counts("cosine", 256, 64)
    plain, groups = grouped(counts, 0, 0), grouped(counts, 1, 32)
    linear = guidance_scales(plain, 256, 3.0, "linear")
    assert linear[0] == 1.0 + 2.0 * 1 / 256 and linear[-1] == 1.0 + 2.0 * 255 / 256
    assert guidance_scales(groups, 256, 3.0, "linear") == (*linear[:-1], 3.0)
    assert guidance_scales(plain, 256, 3.0, "constant") == (3.0,) * 64
    assert set(guidance_scales(plain, 256, 1.0, "linear")) == {1.0}


def test_guidance_of_an_edit_counts_what_was_given() -> None:
    assert guidance_scales(Plan(((2,), (2,))), 16, 5.0, "linear") == (1.0 + 4.0 * 14 / 16, 1.0 + 4.0 * 15 / 16)


def test_the_published_respacing() -> None:
    kept = respaced(1000, 100)
    assert kept[:8] == [0, 10, 20, 30, 40, 50, 61, 71] and kept[-2:] == [989, 999]
    assert respaced(1000, 1000) == list(range(1000))
    assert respaced(1000, 3) == [0, 500, 999], "halves go to the even neighbour"


@given(st.integers(2, 1000))
def test_respacing_visits_both_ends_evenly(steps: int) -> None:
    kept = respaced(1000, steps)
    assert kept[0] == 0 and kept[-1] == 999 and kept == sorted(set(kept))
    exact = [Fraction(999 * i, steps - 1) for i in range(steps)]
    assert all(abs(at - want) <= Fraction(1, 2) + Fraction(1, 10**9) for at, want in zip(kept, exact, strict=True))


@pytest.mark.parametrize("steps", [0, 1, 1001])
def test_impossible_chains_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match=f"2 to 1000 steps, not {steps}"):
        respaced(1000, steps)


@given(st.sets(st.integers(2, 200), min_size=1, max_size=4), st.data())
def test_one_table_holds_chains_of_all_lengths(lengths: set[int], data: st.DataObject) -> None:
    chains = Chains(1000)
    for length in lengths:
        chains.row(length, 0)
    steps = data.draw(st.sampled_from(sorted(lengths)))
    index = data.draw(st.integers(0, steps - 1))
    row = chains.row(steps, index)
    process = Process.of(1000, steps)
    assert chains.timesteps[row] == process.timesteps[index]
    assert torch.equal(chains.table[row], process.columns[index].float())
    assert float(chains.coefficients(torch.tensor([row])).noisy) == float(index > 0)
    assert process.alphas_cumprod[-1] < 1e-8, "a chain begins in noise"


def test_estimates_can_be_bounded_row_by_row() -> None:
    chains = Chains(1000)
    c = chains.coefficients(torch.tensor([chains.row(50, 49), chains.row(50, 49), chains.row(50, 10)]))
    x, wrong = torch.ones(3, 4), torch.full((3, 4), 0.99)  # the noise is 1 where all is noise
    free = posterior(c, x, wrong, torch.zeros(3, 4))
    assert float(free.x0[0, 0]) > 100
    bound = torch.tensor([3.0, float("inf"), 3.0])
    held = posterior(c, x, wrong, torch.zeros(3, 4), bound)
    assert torch.equal(held.x0[0], torch.full((4,), 3.0)) and torch.equal(held.x0[1:], free.x0[1:])
    torch.testing.assert_close(held.mean, c.mean_of_x0 * held.x0 + c.mean_of_x * x)


@given(st.integers(10, 400), st.data())
def test_a_chain_keeps_the_noise_levels_of_training(train_steps: int, data: st.DataObject) -> None:
    steps = data.draw(st.integers(2, train_steps))
    chain, levels = Process.of(train_steps, steps), (1.0 - cosine_betas(train_steps)).cumprod(0)
    torch.testing.assert_close(chain.alphas_cumprod, levels[chain.timesteps], atol=1e-15, rtol=1e-7)
    x0, noise = torch.randn(2, steps, dtype=torch.float64)
    kept, before = chain.alphas_cumprod, torch.cat([torch.ones(1, dtype=torch.float64), chain.alphas_cumprod[:-1]])
    x = kept.sqrt() * x0 + (1.0 - kept).sqrt() * noise
    mean = (before.sqrt() * chain.betas * x0 + (kept / before).sqrt() * (1.0 - before) * x) / (1.0 - kept)
    torch.testing.assert_close(chain.posterior_mean_x0 * x0 + chain.posterior_mean_xt * x, mean)
    columns = Coefficients(*chain.columns.split(1, dim=-1))
    found = posterior(columns, x[:, None], noise[:, None], torch.zeros(steps, 1, dtype=torch.float64))
    torch.testing.assert_close(found.x0[:, 0], x0, atol=1e-6, rtol=1e-6)
    assert (columns.low <= columns.high + 1e-12).all()
    middle = (columns.low + columns.high) / 2.0
    torch.testing.assert_close(found.log_variance, middle)
