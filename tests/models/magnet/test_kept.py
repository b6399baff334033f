"""Cheap steps: exact where nothing has moved, cheaper than full ones, and guided no longer than was asked."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.magnet.config import MAGNeTConfig
from models.magnet.decoding import Decoding
from models.magnet.network import MAGNeT
from models.magnet.pack import Branch
from models.magnet.sample import Sample, Turn
from models.magnet.stepper import Stepper
from tests.models.magnet.build import random_network

CONFIG = replace(MAGNeTConfig.preset("tiny"), seconds=5.0)  # 40 tokens
DECODING = Decoding(steps=(6, 3, 3, 3), guidance=(3.0, 1.0))


def text_of(network: MAGNeT) -> Tensor:
    states = torch.randn(5, CONFIG.text_dim, generator=torch.Generator().manual_seed(1))
    return network.memory(network.condition(states))


class Seen(Stepper):
    """Rows of every branch of every step."""

    def __init__(self, network: MAGNeT) -> None:
        super().__init__(network)
        self.rows: list[list[int]] = []
        self.logits: list[Tensor] = []

    def evaluate(self, turns):  # type: ignore[no-untyped-def]
        self.rows += [[branch.count for branch in turn.branches] for turn in turns]
        found = super().evaluate(turns)
        self.logits += found
        return found


def run(network: MAGNeT, decoding: Decoding, text: Tensor | None = None) -> tuple[Seen, Sample]:
    sample, stepper = Sample.begin(CONFIG, decoding, 0, text_of(network) if text is None else text), Seen(network)
    while not sample.done:
        stepper.step([sample])
    return stepper, sample


@pytest.mark.parametrize("arrangement", ["nonoverlap", "stride1"])
@pytest.mark.parametrize("reuse", [1, 5])
def test_of_one_block_nothing_is_stale(arrangement: str, reuse: int) -> None:
    """Its keys and values follow from the ids alone."""
    network = random_network(replace(CONFIG, depth=1))
    decoding = replace(DECODING, arrangement=arrangement)  # type: ignore[arg-type]
    full, wanted = run(network, decoding)
    cheap, found = run(network, replace(decoding, reuse=reuse))
    for a, b in zip(full.logits, cheap.logits, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    assert torch.equal(found.ids, wanted.ids)
    assert sum(map(sum, cheap.rows)) < sum(map(sum, full.rows))


def test_cheap_steps_evaluate_what_is_open_or_new() -> None:
    network = random_network(CONFIG)
    seen, sample = run(network, replace(DECODING, reuse=2, full_first=1))
    length = sample.ids.shape[1]
    first = [rows[0] for rows in seen.rows[:6]]
    assert first[0] == first[1] == first[4] == length, "one alone, then a full one before every two cheap ones"
    assert first[2] <= length and first[3] < first[2], "fewer and fewer tokens are open"
    assert seen.rows[6][0] == seen.rows[9][0] == length, "every codebook begins with a full step"


def test_the_step_before_bounds_the_rows_of_a_cheap_one() -> None:
    network = random_network(CONFIG)
    decoding = replace(DECODING, reuse=8)
    sample, stepper = Sample.begin(CONFIG, decoding, 0, text_of(network)), Seen(network)
    while not sample.done:
        told = sample.rows
        stepper.step([sample])
        assert stepper.rows[-1][0] <= told <= sample.ids.shape[1]


def test_guidance_ends_behind_its_share() -> None:
    network = random_network(CONFIG)
    seen, _ = run(network, replace(DECODING, guidance_share=0.5))
    assert [len(rows) for rows in seen.rows] == [2, 2, 2, 1, 1, 1, *[2, 2, 1] * 3]
    unguided, _ = run(network, replace(DECODING, guidance=(1.0, 1.0)))
    assert {len(rows) for rows in unguided.rows[:1]} == {1}


def test_a_branch_of_some_rows_keeps_the_others() -> None:
    network = random_network(CONFIG)
    ids = torch.zeros(4, 6, dtype=torch.long)
    with pytest.raises(ValueError, match="where the others are kept"):
        network.evaluate([Branch(ids, 0, torch.arange(2), None, rows=torch.arange(2))])


@torch.inference_mode()
def test_turns_do_not_change_what_is_kept() -> None:
    """A step that fails can be run again."""
    network = random_network(CONFIG)
    sample, stepper = Sample.begin(CONFIG, replace(DECODING, reuse=3), 0, text_of(network)), Stepper(network)
    stepper.step([sample])
    turn = Turn.of(sample, CONFIG.mask_id)
    first = stepper.evaluate([turn])[0]
    assert torch.equal(stepper.evaluate([turn])[0], first)
