"""Orders and chain noise: keyed by the sequence, spread as they should be, unaware of neighbours."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from models.decoding.noise import philox, sequence_key
from models.mar.order import CounterChainNoise, reveal_order

NOISE = CounterChainNoise()
PINNED_ORDER = [6, 0, 7, 1, 5, 3, 4, 2]
PINNED_NOISE = [-1.640800952911377, -0.5785943865776062, 0.13180065155029297]


@given(st.integers(0, 2**63), st.integers(0, 9), st.integers(1, 300))
def test_an_order_is_a_permutation(seed: int, sample: int, length: int) -> None:
    order = reveal_order(sequence_key(seed, sample), length)
    assert order.sort().values.tolist() == list(range(length))


def test_orders_are_uniform_and_differ_by_seed_and_sample() -> None:
    keys = [sequence_key(seed, sample) for seed in range(150) for sample in range(4)]
    orders = torch.stack([reveal_order(key, 8) for key in keys])
    assert len({tuple(order) for order in orders.tolist()}) > 590
    counts = torch.stack([torch.bincount(orders[:, place], minlength=8) for place in range(8)])
    assert (counts - 75.0).abs().max() < 40  # 75 expected, 5 sigma


def test_an_order_is_pinned() -> None:
    """Requests with a seed are promised their bytes."""
    assert reveal_order(sequence_key(1, 0), 8).tolist() == PINNED_ORDER


def test_noise_is_pinned() -> None:
    key = torch.tensor([sequence_key(1, 0)])
    found = NOISE.normal(key, torch.tensor([3]), torch.tensor([2]), 3)
    torch.testing.assert_close(found, torch.tensor([PINNED_NOISE]), atol=1e-7, rtol=0)


def test_noise_is_normal_and_channels_are_independent() -> None:
    count = 1 << 12
    key = torch.full((count,), sequence_key(5, 0))
    drawn = NOISE.normal(key, torch.arange(count) % 256, torch.arange(count) // 256, 16)
    assert drawn.dtype == torch.float32 and drawn.shape == (count, 16) and drawn.isfinite().all()
    assert drawn.mean().abs() < 0.02 and abs(drawn.var() - 1.0) < 0.03
    assert abs((drawn**4).mean() - 3.0) < 0.15
    assert (torch.corrcoef(drawn.T) - torch.eye(16)).abs().max() < 0.09  # 5.7 sigma
    apart = torch.corrcoef(torch.stack([drawn[:-256].flatten(), drawn[256:].flatten()]))[0, 1]
    assert abs(apart) < 0.02, "steps are independent"


@given(st.permutations(range(12)), st.integers(1, 12), st.integers(1, 17))
def test_neighbours_do_not_change_a_row(order: list[int], count: int, channels: int) -> None:
    key = torch.tensor([sequence_key(9, at % 3) for at in range(12)])
    position, step = torch.arange(12) * 5, torch.arange(12) % 4
    whole = NOISE.normal(key, position, step, channels)
    some = torch.tensor(order[:count])
    assert torch.equal(NOISE.normal(key[some], position[some], step[some], channels), whole[some])


@given(st.integers(1, 15))
def test_fewer_channels_are_the_first_of_more(channels: int) -> None:
    key, at = torch.tensor([sequence_key(2, 0)] * 3), torch.arange(3)
    assert torch.equal(NOISE.normal(key, at, at, channels), NOISE.normal(key, at, at, 16)[:, :channels])


def test_the_streams_of_the_token_families_are_others() -> None:
    """Their uniforms use a third counter word of 0."""
    key, at = torch.full((64,), sequence_key(3, 0)), torch.arange(64)
    zero = torch.zeros_like(at)
    words = {tuple(philox(key, at, zero, c2).flatten().tolist()) for c2 in (0, 1, 2)}
    assert len(words) == 3
