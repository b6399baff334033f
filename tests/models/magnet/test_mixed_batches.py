"""Neighbours do not exist: logits, tokens and scores of a sequence have the same bits alone and in any mix."""

import random
from dataclasses import dataclass, field

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.magnet.attention import BLOCK, Band, Full, PackedVisible
from models.magnet.config import MAGNeTConfig
from models.magnet.decoding import Decoding
from models.magnet.network import MAGNeT
from models.magnet.sample import Sample, Turn
from models.magnet.stepper import Stepper
from tests.models.magnet.build import random_network

SMALL = MAGNeTConfig(
    codebook_size=50, frame_rate=50, seconds=3.0, span=3, context=5, dim=96, depth=2, heads=3, text_dim=40,
)  # fmt: skip
WIDE = MAGNeTConfig(
    codebook_size=300, frame_rate=50, seconds=1.0, span=3, context=5, dim=256, depth=2, heads=4, text_dim=40,
)  # fmt: skip


@dataclass
class Log:
    """Remembers what every (sequence, step) was drawn from, and what it became."""

    seen: dict[tuple[int, int], tuple[Tensor, ...]] = field(default_factory=dict)
    logits: dict[int, Tensor] = field(default_factory=dict)

    def probe(self, turn: Turn, logits: Tensor) -> None:
        self.logits[turn.sample.key] = logits.clone()

    def step(self, stepper: Stepper, samples: list[Sample]) -> None:
        stepper.step(samples)
        for sample in samples:
            self.seen[sample.key, sample.step] = (self.logits[sample.key], sample.ids, sample.scores)


def random_sample(rng: random.Random, network: MAGNeT, key: int, texts: list[Tensor]) -> Sample:
    config = network.config
    length = rng.choice([config.length, config.length // 2 + 1, 10])
    decoding = Decoding(
        steps=tuple(rng.randint(1, 4) for _ in range(4)),
        temperature=rng.choice([0.0, 1.0, 3.0]),
        anneal=rng.choice([True, False]),
        top_k=rng.choice([0, 0, 7]),
        top_p=rng.choice([1.0, 0.9]),
        guidance=rng.choice([(10.0, 1.0), (1.0, 1.0), (3.0, 2.0)]),
        arrangement=rng.choice(["nonoverlap", "stride1"]),
        scoring=rng.choice(["max", "prod"]),
        greedy=rng.random() < 0.2,
    )
    known = torch.rand(length, generator=torch.Generator().manual_seed(key)) < rng.choice([0.0, 0.3])
    given = torch.randint(config.codebook_size, (4, length), generator=torch.Generator().manual_seed(key))
    text = rng.choice([None, *texts])
    return Sample.begin(config, decoding, key, text, given, known, length)


@pytest.mark.parametrize("config", [SMALL, WIDE], ids=["small", "wide"])
@pytest.mark.parametrize("threads", [1, 2])
def test_every_number_is_that_of_a_lone_sequence(threads: int, config: MAGNeTConfig) -> None:
    torch.set_num_threads(threads)
    network = random_network(config)
    states = torch.randn(4, 20, config.text_dim, generator=torch.Generator().manual_seed(1))
    texts = [network.memory(network.condition(row[:n])) for row, n in zip(states, (1, 3, 20, 20), strict=True)]

    def samples() -> list[Sample]:
        rng = random.Random(5)
        return [random_sample(rng, network, key, texts) for key in range(9)]

    stepper = Stepper(network)
    lone, mixed = Log(), Log()
    stepper.probe = lone.probe
    for sample in samples():
        while not sample.done:
            lone.step(stepper, [sample])
    stepper.probe, rng = mixed.probe, random.Random(6)
    together = samples()
    while running := [sample for sample in together if not sample.done]:
        mixed.step(stepper, rng.sample(running, rng.randint(1, len(running))))
    assert lone.seen.keys() == mixed.seen.keys()
    wrong = [
        key
        for key, values in lone.seen.items()
        if not all(torch.equal(*pair) for pair in zip(values, mixed.seen[key], strict=True))
    ]
    assert not wrong, f"{len(wrong)} of {len(lone.seen)} steps differ, first {wrong[0]}"


@pytest.mark.parametrize("threads", [1, 2])
def test_a_text_does_not_know_its_neighbours(threads: int) -> None:
    torch.set_num_threads(threads)
    network = random_network(WIDE)
    states = torch.randn(60, WIDE.text_dim)
    together = network.memory(network.condition(states))
    for start, end in ((0, 1), (1, 8), (8, 40), (40, 60)):
        assert torch.equal(network.memory(network.condition(states[start:end])), together[:, :, start:end])


@pytest.mark.parametrize("context", [0, 1, 5, 200])
def test_a_band_is_full_attention_with_a_mask(context: int) -> None:
    torch.manual_seed(0)
    lengths = [1, BLOCK - 1, BLOCK, BLOCK + 1, 3, 2 * BLOCK + 7]
    q, k, v = torch.randn(3, sum(lengths), 2, 8).unbind()
    found = Band.of(lengths, context, q.device)(0, q, k, v).split(lengths)
    for part, *own in zip(found, *(t.split(lengths) for t in (q, k, v)), strict=True):
        places = torch.arange(len(part))
        mask = (places[:, None] - places).abs() <= context
        wanted = F.scaled_dot_product_attention(*(t.transpose(0, 1) for t in own), attn_mask=mask).transpose(0, 1)
        torch.testing.assert_close(part, wanted)


def test_rows_behind_the_branches_are_zeros() -> None:
    q, k, v = torch.randn(3, 16, 2, 8).unbind()
    memory = torch.randn(1, 2, 4, 2, 8)
    visible = PackedVisible([Full(2, 3), Band.of([4], 1, q.device)], [(3, memory)], 16)
    assert not visible.rows(0, q, k, v)[10:].any()
    assert visible.text(0, q)[:3].all() and not visible.text(0, q)[3:].any()
