"""The noise of blocks: keyed by sequence, block and call, spread as it should be, unaware of neighbours."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.decoding.noise import philox, sequence_key
from models.mar.order import CounterChainNoise
from models.mcvd.noise import FRAMES, START, CounterFrameNoise

NOISE = CounterFrameNoise()
PINNED = [0.7663480043411255, 0.6204555630683899, -0.46947723627090454]


def one(key: int, block: int, call: int, shape: tuple[int, int, int]) -> torch.Tensor:
    return NOISE.normal(*(torch.tensor([value]) for value in (key, block, call)), shape)[0]


def test_noise_is_pinned() -> None:
    """Requests with a seed are promised their bytes."""
    found = one(sequence_key(1, 0), 2, 3, (1, 1, 3))
    torch.testing.assert_close(found.flatten(), torch.tensor(PINNED), atol=1e-7, rtol=0)


def test_noise_is_normal_and_elements_are_independent() -> None:
    drawn = torch.stack([one(sequence_key(5, 0), at // 40, at % 40, (3, 8, 8)) for at in range(400)])  # [400, 3, 8, 8]
    assert drawn.dtype == torch.float32 and drawn.isfinite().all()
    assert drawn.mean().abs() < 0.02 and abs(drawn.var() - 1.0) < 0.02 and abs((drawn**4).mean() - 3.0) < 0.1
    elements = torch.corrcoef(drawn.flatten(1)[:, :64].T) - torch.eye(64)
    assert elements.abs().max() < 0.3  # 6 sigma
    assert abs(torch.corrcoef(torch.stack([drawn[:-1].flatten(), drawn[1:].flatten()]))[0, 1]) < 0.02


def test_every_part_of_the_address_counts() -> None:
    shape = (2, 4, 4)
    found = [
        one(key, block, call, shape)
        for key in (sequence_key(1, 0), sequence_key(1, 1))
        for block in (0, 1, 255)
        for call in (START, 1, 1000)
    ]
    assert len({tuple(drawn.flatten().tolist()) for drawn in found}) == len(found)


@settings(max_examples=20)
@given(st.permutations(range(8)), st.integers(1, 8), st.tuples(*[st.integers(1, 5)] * 3))
def test_neighbours_do_not_change_a_row(order: list[int], count: int, shape: tuple[int, int, int]) -> None:
    key = torch.tensor([sequence_key(9, at % 3) for at in range(8)])
    block, call = torch.arange(8) // 3, torch.arange(8) % 4
    whole = NOISE.normal(key, block, call, shape)
    some = torch.tensor(order[:count])
    assert whole.shape == (8, *shape)
    assert torch.equal(NOISE.normal(key[some], block[some], call[some], shape), whole[some])


def test_the_streams_of_other_families_are_others() -> None:
    key, at = torch.full((64,), sequence_key(3, 0)), torch.arange(64)
    zero = torch.zeros_like(at)
    assert len({tuple(philox(key, at, zero, word).flatten().tolist()) for word in (0, 1, 2, FRAMES)}) == 4
    assert not torch.equal(
        CounterChainNoise().normal(key[:1], zero[:1], zero[:1], 16)[0], one(int(key[0]), 0, 0, (1, 4, 4)).flatten()
    )
