"""Shares, counts, temperatures and scales, against the published rules spelled out in torch."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.magnet.decoding import Decoding
from models.magnet.guidance import scales
from models.magnet.schedule import COOLEST, masked_counts, masked_shares, temperatures


def test_half_is_less_than_half_in_float32() -> None:
    """The defaults: 82 of 166 chunks, 249 of 500, where float64 says 83 and 250."""
    assert masked_counts(10, 166)[6] == 82 and masked_counts(10, 500)[6] == 249
    assert all(masked_counts(steps, 166)[2 * (steps - 1) // 3] == 82 for steps in (10, 19, 22, 28, 37, 43, 46))
    assert all(masked_counts(steps, 166)[2 * (steps - 1) // 3] == 83 for steps in (4, 7, 13, 16, 25, 31, 61))
    for steps in (20, 40, 60, 80):
        exact = [max(1, math.floor(166 * math.cos(math.pi / 2 * at / (steps - 1)))) for at in range(steps)]
        assert list(masked_counts(steps, 166)) == exact


@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="without vectors torch rounds twice")
@given(st.integers(1, 75), st.integers(1, 1600))
def test_counts_are_those_of_torch(steps: int, units: int) -> None:
    shares = torch.cos(torch.linspace(0, 1, steps) * math.pi * 0.5)
    assert list(masked_counts(steps, units)) == [max(1, int((share * units).item())) for share in shares]
    torch.testing.assert_close(torch.tensor(masked_shares(steps)), shares, atol=1e-7, rtol=0)


@given(st.integers(1, 300), st.integers(1, 3000))
def test_the_first_step_masks_all_and_the_last_one_unit(steps: int, units: int) -> None:
    counts = masked_counts(steps, units)
    assert counts[0] == units and min(counts) >= 1 and (steps == 1 or counts[-1] == 1)
    assert list(counts) == sorted(counts, reverse=True)


def test_temperatures() -> None:
    assert temperatures(4, 3.0, anneal=True) == (2.25, 1.5, 0.75, COOLEST)
    assert temperatures(2, 3.0, anneal=False) == (3.0, 3.0)
    assert temperatures(1, 0.0, anneal=False) == (COOLEST,)


def test_scales() -> None:
    found = scales(masked_shares(5), (10.0, 2.0))
    assert found[0] == 10.0 and found[-1] == pytest.approx(2.0, abs=1e-6)
    assert found[1] == pytest.approx(2.0 + 8.0 * math.cos(math.pi / 8), abs=1e-6)
    assert set(scales(masked_shares(5), (1.0, 1.0))) == {1.0}


def test_stages() -> None:
    decoding = Decoding(steps=(2, 1, 3))
    assert [decoding.stage(step) for step in range(6)] == [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1), (2, 2)]
    with pytest.raises(IndexError):
        decoding.stage(6)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"steps": []}, "decoding.steps"),
        ({"steps": [20, 0]}, "decoding.steps.1"),
        ({"top_p": 0.0}, "decoding.top_p"),
        ({"arrangement": "stride2"}, "decoding.arrangement"),
        ({"guidance": [3.0]}, "decoding.guidance"),
        ({"heat": 3.0}, "decoding.heat: unknown field"),
    ],
)
def test_wrong_fields_are_named(change: dict[str, object], sentence: str) -> None:
    from models.architecture import parse_architecture

    with pytest.raises(ValueError, match=sentence):
        parse_architecture(Decoding, change, "decoding")
