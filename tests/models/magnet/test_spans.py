"""What is masked, drawn and scored, in small cases."""

import pytest
import torch

from models.magnet.decoding import Decoding
from models.magnet.spans import FIXED, Chunks, Windows, arranged, searched


def bools(text: str) -> torch.Tensor:
    return torch.tensor([letter == "x" for letter in text])


def test_chunks() -> None:
    chunks = Chunks(3, "max")
    assert chunks.length(26) == 24
    known = bools("xxxxx....")
    assert chunks.units(known) == 2, "one is known in part"
    assert chunks.start(known).tolist() == [FIXED, 0.0, 0.0]
    scores = torch.tensor([0.5, 0.7, 0.5])
    assert torch.equal(chunks.select(scores, 1, 9), bools("...xxx..."))
    assert torch.equal(chunks.select(scores, 2, 9), bools("xxxxxx...")), "ties to the lowest index"
    assert torch.equal(chunks.asked(bools("...xxx..."), bools(".....x...")), bools("...xxx..."))


def test_scores_of_chunks() -> None:
    p = torch.tensor([0.5, 0.25, 0.125, 0.9, 0.9, 0.9])
    assert Chunks(3, "max").scores(p, bools("xxx...")).tolist() == [0.5, FIXED]
    prod = Chunks(3, "prod").scores(p, bools("xxx..."))
    assert prod.tolist() == [pytest.approx(6 * 0.6931472), FIXED]


def test_windows() -> None:
    windows = Windows(3)
    assert windows.length(26) == 26
    known = bools("xx....")
    assert windows.units(known) == 4
    assert windows.start(known).tolist() == [FIXED, FIXED, 0.0, 0.0, 0.0, 0.0]
    scores = torch.tensor([0.0, 0.0, 0.0, 5.0, 5.0, 5.0, 0.0, 4.0])
    assert torch.equal(windows.select(scores, 1, 8), bools("...xxx..")), "one window at least"
    assert torch.equal(windows.select(scores, 3, 8), bools("...xxx.."))
    assert torch.equal(windows.select(scores, 5, 8), bools("..xxxx..")), "a third window would fit, but is not tried"
    assert torch.equal(windows.asked(bools("xxx..."), bools("..xx..")), bools("..xx.."))
    p = torch.tensor([0.5, 0.0])
    assert windows.scores(p, bools("x.")).tolist() == [pytest.approx(0.6931472), FIXED]


def test_single_tokens_have_one_arrangement() -> None:
    for arrangement in ("nonoverlap", "stride1"):
        spans = arranged(Decoding(arrangement=arrangement), 1)
        assert torch.equal(spans.select(torch.tensor([0.1, 0.4, 0.4, 0.3]), 2, 4), bools(".xx."))
    assert arranged(Decoding(scoring="prod"), 3) == Chunks(3, "prod")
    assert arranged(Decoding(arrangement="stride1"), 3) == Windows(3)


def test_the_last_trial_counts() -> None:
    assert searched([0, 3, 6, 9, 12, 15], 3, 3) == 1
    assert searched([0, 3, 4, 9, 10, 11, 12, 13, 14], 9, 3) == 4, "more than asked for, as published"
    assert searched([0, 3, 4, 5, 6, 7, 8, 9, 10], 9, 3) == 6, "fewer"
