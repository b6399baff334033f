"""Sequences from their beginning: what is given stays, what is drawn depends on a sequence alone."""

from collections.abc import Sequence as Seq
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.decoding.noise import CounterNoise, Purpose, Rows
from models.magnet.config import MAGNeTConfig
from models.magnet.decoding import Decoding
from models.magnet.drawing import Draws, draw
from models.magnet.network import MAGNeT
from models.magnet.sample import Sample, Turn
from models.magnet.stepper import Stepper
from tests.models.magnet.build import random_network

CONFIG = replace(MAGNeTConfig.preset("tiny"), seconds=2.5)  # 20 tokens
DECODING = Decoding(steps=(4, 2, 2, 2))


@pytest.fixture(scope="module")
def tiny() -> MAGNeT:
    return random_network(CONFIG)


def run(stepper: Stepper, sample: Sample) -> None:
    while not sample.done:
        stepper.step([sample])


def text_of(network: MAGNeT, seed: int) -> Tensor:
    states = torch.randn(5, CONFIG.text_dim, generator=torch.Generator().manual_seed(seed))
    return network.memory(network.condition(states))


def test_lengths(tiny: MAGNeT) -> None:
    assert Sample.begin(CONFIG, DECODING, 0).ids.shape == (4, 18), "spans of three"
    assert Sample.begin(CONFIG, replace(DECODING, arrangement="stride1"), 0).ids.shape == (4, 20)
    assert Sample.begin(CONFIG, DECODING, 0, length=7).ids.shape == (4, 6)
    with pytest.raises(ValueError, match="of 18 tokens none is to be made"):
        Sample.begin(CONFIG, DECODING, 0, given=torch.zeros(4, 19, dtype=torch.long))
    for arrangement in ("nonoverlap", "stride1"):
        with pytest.raises(ValueError, match="of 0 tokens none is to be made"):
            Sample.begin(CONFIG, replace(DECODING, arrangement=arrangement), 0, length=2)  # type: ignore[arg-type]


@pytest.mark.parametrize("arrangement", ["nonoverlap", "stride1"])
def test_what_is_given_stays(tiny: MAGNeT, arrangement: str) -> None:
    decoding = replace(DECODING, arrangement=arrangement)  # type: ignore[arg-type]
    given = torch.randint(CONFIG.codebook_size, (4, 18))
    known = torch.rand(18, generator=torch.Generator().manual_seed(0)) < 0.5
    sample = Sample.begin(CONFIG, decoding, 0, text_of(tiny, 0), given, known)
    run(Stepper(tiny), sample)
    assert torch.equal(sample.ids[:, :18][:, known], given[:, known])
    assert (sample.ids < CONFIG.codebook_size).all()


def test_keys_texts_and_decoding_matter_and_nothing_else(tiny: MAGNeT) -> None:
    def made(key: int, text: int, decoding: Decoding = DECODING) -> list[list[int]]:
        sample = Sample.begin(CONFIG, decoding, key, text_of(tiny, text))
        run(Stepper(tiny), sample)
        found: list[list[int]] = sample.ids.tolist()
        return found

    assert made(1, 0) == made(1, 0)
    assert made(1, 0) != made(2, 0)
    assert made(1, 0) != made(1, 1)
    assert made(1, 0) != made(1, 0, replace(DECODING, guidance=(1.0, 1.0)))
    assert made(1, 0, replace(DECODING, greedy=True)) == made(2, 0, replace(DECODING, greedy=True))


def test_a_scale_of_one_needs_one_branch(tiny: MAGNeT) -> None:
    sizes: list[int] = []
    stepper = Stepper(tiny)
    for text, guidance in ((text_of(tiny, 0), (1.0, 1.0)), (None, (10.0, 1.0)), (text_of(tiny, 0), (10.0, 1.0))):
        sample = Sample.begin(CONFIG, replace(DECODING, guidance=guidance), 0, text)
        stepper.probe = lambda turn, logits: sizes.append(len(turn.branches))
        stepper.step([sample])
    assert sizes == [1, 1, 2]


def test_another_model_may_score(tiny: MAGNeT) -> None:
    seen: list[Tensor] = []

    def reader(turns: Seq[Turn], ids: Seq[Tensor]) -> list[Tensor]:
        seen.extend(ids)
        return [torch.full(grid.shape[1:], 0.5) for grid in ids]

    plain, half, other = (Sample.begin(CONFIG, replace(DECODING, rescoring=weight), 0) for weight in (0.0, 0.5, 1.0))
    Stepper(tiny, reader=reader).step([plain, half, other])
    assert len(seen) == 2, "nobody reads for those that are not rescored"
    assert torch.equal(plain.ids, half.ids), "only what is masked next changes"
    assert torch.equal(seen[0], plain.ids)
    torch.testing.assert_close(half.scores, 0.5 * plain.scores + 0.25)
    assert other.scores.unique().tolist() == [0.5]


def rows(count: int) -> Rows:
    zeros = torch.zeros(count, dtype=torch.long)
    return Rows(zeros, zeros, zeros, torch.arange(count))


def draws(count: int, top_k: int = 0, top_p: float = 1.0, greedy: bool = False, heat: float = 1.0) -> Draws:
    return Draws(
        torch.full((count,), heat),
        torch.full((count,), top_k),
        torch.full((count,), top_p),
        torch.full((count,), greedy),
        bool(top_k) or top_p < 1.0,
    )


def test_which_probabilities_rank() -> None:
    logits = torch.tensor([0.5, 0.3, 0.2]).log().expand(400, 3)
    whole = {0: 0.5, 1: 0.3, 2: 0.2}
    for how, wanted in (
        (draws(400), whole),
        (draws(400, top_p=0.6), {0: 0.5, 1: 0.3}),
        (draws(400, top_k=2), {0: 0.625, 1: 0.375}),
        (draws(400, top_k=2, top_p=0.9), {0: 0.5, 1: 0.3}),
        (draws(400, top_k=2, greedy=True), {0: 0.5}),
        (draws(400, heat=0.5, greedy=True), {0: 0.25 / 0.38}),
    ):
        token, probability = draw(logits, how, CounterNoise(), rows(400))
        found = {int(t): float(p) for t, p in zip(token, probability, strict=True)}
        assert found == pytest.approx(wanted, abs=1e-6)


def test_draws_follow_the_shares() -> None:
    count = 20000
    logits = torch.tensor([0.5, 0.3, 0.2]).log().expand(count, 3)
    token = CounterNoise().categorical(logits, rows(count), Purpose.TOKEN)
    assert (token.bincount() / count).tolist() == pytest.approx([0.5, 0.3, 0.2], abs=0.015)
