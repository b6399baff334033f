"""Neighbours do not exist: z and tokens of a sequence have the same bits alone and in any mix of steps and chains."""

import random
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.decoder import GenerationRequest
from models.decoding.slots import KVSlots
from models.mar.attention import Ragged, Span
from models.mar.chain import ChainRows, ChainStepper
from models.mar.config import MARConfig
from models.mar.fused import FusedHead
from models.mar.sequence import MARSequence
from models.mar.step import Wanted
from models.spec import Sampling
from tests.models.mar.build import decoder_of, random_network
from tests.models.mar.drive import admit, jumble, run

CONFIG = MARConfig(
    grid=(6, 6), channels=4, num_classes=4, buffer=8, encoder_dim=96, encoder_depth=2, encoder_heads=3,
    decoder_dim=128, decoder_depth=2, decoder_heads=4, head_depth=2, head_width=96, diffusion_steps=6,
)  # fmt: skip


@dataclass
class Log:
    """Remembers z of every (sequence, step), and what the sequences became."""

    seen: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def probe(self, seqs: Seq[MARSequence], wanted: Wanted, z: Tensor) -> None:
        for at, seq in enumerate(seqs):
            self.seen[seq.key, seq.step] = z[wanted.sequence == at].clone()


def random_request(rng: random.Random, seed: int, buffer_kept: bool) -> GenerationRequest:
    sampling = Sampling(
        num_inference_steps=rng.randint(2, 12),
        guidance_scale=rng.choice([1.0, 1.0, 2.9]),
        guidance_schedule=rng.choice(["linear", "constant"]),
        temperature=rng.choice([0.9, 1.0]),
        reuse=rng.choice([0, 1, 2]),
        full_first=rng.choice([0, 2]),
        reuse_buffer=buffer_kept,
        diffusion_steps=rng.choice([4, 6]),
        diffusion_reuse=rng.choice([0.5, 1.0]),
        diffusion_clip=rng.choice([0.0, 0.0, 2.0]),
    )
    return GenerationRequest("generate", rng.choice([None, 0, 1, 2, 3]), sampling, seed)


@pytest.mark.parametrize("buffer_kept", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_every_number_is_that_of_a_lone_sequence(threads: int, buffer_kept: bool) -> None:
    torch.set_num_threads(threads)
    rng = random.Random(7)
    requests = [random_request(rng, seed, buffer_kept) for seed in range(8)]
    lone, mixed = Log(), Log()
    decoder = decoder_of(random_network(CONFIG, packed=False))
    decoder.probe = lone.probe
    wanted = {}
    for request in requests:
        [seq] = admit(decoder, request)
        run(decoder, [seq])
        wanted[seq.key] = seq.tokens
    decoder.probe = mixed.probe
    seqs = admit(decoder, *requests)
    shared, joined = jumble(decoder, list(seqs), rng)
    assert shared > 5 and joined > 10
    assert lone.seen.keys() == mixed.seen.keys()
    wrong = [key for key, z in lone.seen.items() if not torch.equal(z, mixed.seen[key])]
    assert not wrong, f"{len(wrong)} of {len(lone.seen)} steps differ, first {wrong[0]}"
    assert all(torch.equal(seq.tokens, wanted[seq.key]) for seq in seqs)
    assert decoder.slots.in_use == 0


@pytest.mark.parametrize(("width", "threads"), [(96, 1), (72, 2), (1280, 3)])
def test_rows_join_and_leave_in_mid_chain(width: int, threads: int) -> None:
    """Each row is one token with its own chain length, guidance and temperature; batches are arbitrary."""
    torch.set_num_threads(threads)
    config = replace(CONFIG, head_width=width, head_depth=1)
    rng = random.Random(3)
    torch.manual_seed(3)
    count, lengths = 30, (2, 5, 9)
    head = FusedHead(random_network(config, packed=False).head, packed=True)
    stepper = ChainStepper(head, config.train_steps)
    z = torch.randn(2, count, CONFIG.decoder_dim)
    length = [rng.choice(lengths) for _ in range(count)]
    guided = [rng.random() < 0.5 for _ in range(count)]
    noise = torch.randn(max(lengths) + 1, count, CONFIG.token_channels)
    condition, free = stepper.condition(z[0]), stepper.condition(z[1])
    temperature, scale = torch.rand(count), 1.0 + torch.rand(count)

    def advance(x: Tensor, index: list[int], which: list[int]) -> Tensor:
        twins = [at for at, row in enumerate(which) if guided[row]]
        rows = ChainRows(
            row=torch.tensor([stepper.chains.row(length[row], index[row]) for row in which]),
            condition=condition[which],
            temperature=temperature[which],
            guided=torch.tensor(twins, dtype=torch.long),
            unconditional=free[[which[at] for at in twins]],
            scale=scale[[which[at] for at in twins]],
        )
        draw = torch.stack([noise[length[row] - index[row], row] for row in which])
        return stepper.run(x[which], rows, draw.unsqueeze(0))

    lone = noise[0].clone()
    for row in range(count):
        for index in reversed(range(length[row])):
            lone[row] = advance(lone, [index] * count, [row])[0]
    mixed, left = noise[0].clone(), list(length)
    while any(left):
        open_ = [row for row in range(count) if left[row]]
        which = rng.sample(open_, rng.randint(1, len(open_)))
        mixed[which] = advance(mixed, [n - 1 for n in left], which)
        for row in which:
            left[row] -= 1
    assert torch.equal(mixed, lone)


@pytest.mark.parametrize("rows", [1, 3, 17, 64, 80])
def test_branches_of_equal_length_are_one_call_without_a_changed_bit(rows: int) -> None:
    torch.manual_seed(0)
    lengths = [rows, rows, rows, rows + 1, rows]
    q, k, v = torch.randn(3, sum(lengths) + 2, 3, 16).unbind()
    found = Ragged([Span(n) for n in lengths])(0, q, k, v)
    edges = [sum(lengths[:at]) for at in range(len(lengths) + 1)]
    for start, end in pairwise(edges):
        one = (t[start:end].transpose(0, 1).unsqueeze(0).clone() for t in (q, k, v))
        alone = F.scaled_dot_product_attention(*one).squeeze(0).transpose(0, 1)
        assert torch.equal(found[start:end], alone)
    assert not found[edges[-1] :].any()


def test_full_and_reuse_branches_of_equal_length_stay_apart() -> None:
    """Whatever their slots are called."""
    torch.manual_seed(0)
    rows, keys = 5, 9
    q, k, v = torch.randn(3, 3 * rows, 2, 16).unbind()
    slots = KVSlots(1, keys, 2, 16, "cpu", torch.float32)
    for slot in sorted(slots.take(4)):
        slots.store.copy_(torch.randn(slots.store.shape, generator=torch.Generator().manual_seed(slot)))
        before = slots.store.clone()
        spans = [Span(rows), Span(rows, slot, torch.arange(4, 9), keys), Span(rows)]
        found = Ragged(spans, slots)(0, q, k, v).split(rows)
        parts = [t.split(rows) for t in (q, k, v)]
        for at in (0, 2):
            assert torch.equal(found[at], Ragged([Span(rows)])(0, *(part[at] for part in parts)))
        kept = before[0].unflatten(1, (-1, keys))[:, slot, :4]  # [2, 4, H, E]
        seen = [torch.cat([kept[kind], parts[1 + kind][1]]) for kind in (0, 1)]
        wanted = F.scaled_dot_product_attention(*(t.transpose(0, 1)[None] for t in (parts[0][1], *seen)))
        torch.testing.assert_close(found[1], wanted[0].transpose(0, 1))


def test_a_chain_stays_float32_beside_bfloat16_weights() -> None:
    head = random_network(CONFIG, packed=False).head
    z, x, draw = torch.randn(4, CONFIG.decoder_dim), *torch.randn(2, 4, CONFIG.token_channels)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        stepper = ChainStepper(head.to(dtype), CONFIG.train_steps)
        condition = stepper.condition(z.to(dtype))
        rows = ChainRows(
            row=torch.tensor([stepper.chains.row(6, index) for index in range(4)]),
            condition=condition,
            temperature=torch.ones(4),
            guided=torch.arange(1),
            unconditional=condition[3:],
            scale=torch.ones(1),
        )
        found.append(stepper.run(x, rows, draw.unsqueeze(0)))
    assert found[1].dtype == torch.float32
    torch.testing.assert_close(*found, atol=0.5, rtol=0.1)
    assert not torch.equal(*found)
