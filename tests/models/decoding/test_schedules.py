"""Mask schedules and the step counts made from them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.decoding.schedules import (
    continue_counts,
    counts_from_ratios,
    masked_share,
    parse,
    progress_at,
    reveal_counts,
    settle,
)

SCHEDULES = ["cosine", "linear", "arccos", "power:2.5", "power:0.5", "list:0.9,0.5,0.2"]
schedules = st.sampled_from(SCHEDULES)
shares = st.floats(0.0, 1.0)


@given(schedules)
def test_everything_is_masked_at_first_and_nothing_at_last(schedule: str) -> None:
    assert masked_share(schedule, 0.0) == pytest.approx(1.0)
    assert masked_share(schedule, 1.0) == pytest.approx(0.0)


@given(schedules, shares, shares)
def test_the_masked_share_falls(schedule: str, a: float, b: float) -> None:
    assert masked_share(schedule, min(a, b)) >= masked_share(schedule, max(a, b)) - 1e-12


@given(schedules, st.floats(0.001, 0.999))
def test_progress_is_the_inverse(schedule: str, share: float) -> None:
    assert masked_share(schedule, progress_at(schedule, share)) == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize(
    ("schedule", "progress", "share"),
    [
        ("cosine", 2 / 3, 0.5),
        ("linear", 0.25, 0.75),
        ("arccos", 0.5, 2 / 3),
        ("power:2", 0.5, 0.75),
        ("list:0.9,0.5", 1 / 3, 0.9),
        ("list:0.9,0.5", 0.5, 0.7),
    ],
)
def test_known_shares(schedule: str, progress: float, share: float) -> None:
    assert masked_share(schedule, progress) == pytest.approx(share)


@given(schedules, st.integers(1, 300), st.data())
def test_counts_reveal_every_token_and_one_at_least(schedule: str, total: int, data: st.DataObject) -> None:
    steps = data.draw(st.integers(1, total))
    counts = reveal_counts(schedule, total, steps)
    assert len(counts) == steps and sum(counts) == total and min(counts) >= 1


def test_counts_follow_the_curve() -> None:
    assert reveal_counts("linear", 16, 4) == [4, 4, 4, 4]
    assert reveal_counts("power:2", 16, 4) == [1, 3, 5, 7]
    assert reveal_counts("cosine", 64, 4) == [5, 14, 21, 24]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20).filter(lambda c: sum(c) >= len(c)))
def test_settling_moves_tokens_but_loses_none(counts: list[int]) -> None:
    settled = settle(counts)
    assert sum(settled) == sum(counts) and len(settled) == len(counts) and min(settled) >= 1
    if min(counts) >= 1:
        assert settled == counts


@given(schedules, st.integers(2, 256), st.data())
def test_a_continuation_reveals_what_is_left(schedule: str, total: int, data: st.DataObject) -> None:
    left = data.draw(st.integers(1, total))
    steps = data.draw(st.integers(1, left))
    counts = continue_counts(schedule, left, total, steps)
    assert len(counts) == steps and sum(counts) == left and min(counts) >= 1


def test_a_whole_continuation_is_the_run_itself() -> None:
    for schedule in SCHEDULES:
        assert continue_counts(schedule, 64, 64, 8) == reveal_counts(schedule, 64, 8)


def test_explicit_ratios() -> None:
    assert counts_from_ratios([0.75, 0.5], 16) == [4, 4, 8]
    assert counts_from_ratios([1.0, 0.0], 4) == [1, 2, 1], "every step reveals one and leaves one"


@pytest.mark.parametrize(
    "text", ["", "sine", "power", "power:0", "power:x", "cosine:2", "list:", "list:.5,.9", "list:1"]
)
def test_a_schedule_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="schedule is cosine"):
        parse(text)
