"""Shares in measured seconds."""

from collections import Counter
from random import Random

import pytest

from service.engine.fairness import Shares, interleave


def test_keys_of_unequal_turns_get_equal_seconds() -> None:
    shares, random, spent = Shares(), Random(0), Counter[str]()
    length = {"short": 0.01, "long": 0.3, "mixed": 0.05}
    for _ in range(3000):
        key = shares.least(list(length))
        seconds = length[key] * random.uniform(0.5, 1.5)
        shares.charge(key, seconds)
        spent[key] += seconds  # type: ignore[assignment]
    assert max(spent.values()) - min(spent.values()) < 0.5


def test_a_key_that_was_away_gets_its_share_and_no_more() -> None:
    shares = Shares()
    for _ in range(100):
        shares.charge(shares.least(["busy"]), 1.0)
    turns = []
    for _ in range(10):
        key = shares.least(["busy", "back"])
        shares.charge(key, 1.0)
        turns.append(key)
    assert Counter(turns) == {"busy": 5, "back": 5}


def test_keys_that_never_come_back_are_forgotten() -> None:
    shares = Shares()
    for number in range(1000):
        shares.charge(shares.least([number]), 1.0)
    assert len(shares._served) < 300


@pytest.mark.parametrize(("debt", "expected"), [(0.0, "abab"), (1.0, "baba"), (9.0, "bbaa")])
def test_interleave_serves_the_owner_that_had_less(debt: float, expected: str) -> None:
    shares = Shares()
    shares.charge("a", debt)
    ordered = interleave(
        ["a1", "a2", "b1", "b2"],
        owner=lambda item: item[0],
        level=lambda item: 0,
        seconds=lambda item: 1.0,
        shares=shares,
    )
    assert "".join(item[0] for item in ordered) == expected


def test_interleave_puts_levels_before_shares() -> None:
    shares = Shares()
    shares.charge("a", 100.0)
    ordered = interleave(
        ["a1", "a2", "b1"],
        owner=lambda item: item[0],
        level=lambda item: 0 if item == "a1" else 1,
        seconds=lambda item: 1.0,
        shares=shares,
    )
    assert ordered == ["a1", "b1", "a2"]
