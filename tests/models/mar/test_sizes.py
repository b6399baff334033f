"""Any grid, patch, width, depth and plan: packed and slotted agrees with one sequence at a time."""

from collections.abc import Sequence as Seq
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.decoder import Condition, GenerationRequest
from models.mar.config import MARConfig
from models.mar.importer import infer_mar, official_key
from models.mar.network import MAR
from models.mar.patches import patchify, unpatchify
from models.mar.sequence import MARSequence
from models.mar.step import Wanted
from tests.models.mar.build import decoder_of, random_network
from tests.models.mar.drive import admit, run, step
from tests.models.mar.naive import Cache, Naive
from tests.models.mar.sizes import configs, requests


def official(network: MAR) -> dict[str, Tensor]:
    """As a file would hold them."""
    leading = {"null_condition": 1, "mask_token": 2}
    return {
        official_key(key): value[(None,) * (1 if key.endswith("_positions") else leading.get(key, 0))]
        for key, value in network.state_dict().items()
    }


@dataclass
class Watch:
    """Compares z of every step with the plain form's."""

    naive: Naive
    caches: dict[tuple[int, int], tuple[Cache, Cache]] = field(default_factory=dict)
    seen: int = 0

    def probe(self, seqs: Seq[MARSequence], wanted: Wanted, z: Tensor) -> None:
        for at, seq in enumerate(seqs):
            parts = z[wanted.sequence == at].chunk(seq.branches)
            labels = [seq.request.condition, None][: seq.branches]
            for kind, (part, label) in enumerate(zip(parts, labels, strict=True)):
                torch.testing.assert_close(part, self.wanted(seq, kind, label), atol=2e-4, rtol=2e-4)
                self.seen += 1

    def wanted(self, seq: MARSequence, kind: int, label: Condition | None) -> Tensor:
        assert not isinstance(label, tuple)
        begin = max(b for b in seq.plan.boundaries if b <= seq.step)
        before = sum(seq.plan.reveals[:begin])
        end = next(b for b in seq.plan.boundaries if b > seq.step)
        group = seq.order[before : sum(seq.plan.reveals[:end])].sort().values
        first = sum(seq.plan.reveals[begin : seq.step])
        mine = group[first : first + seq.plan.reveals[seq.step]]
        if seq.step == begin:
            z, *caches = self.naive.full(seq.tokens, torch.cat([seq.given, seq.order[:before]]), label)
            self.caches[seq.key, kind] = (caches[0], caches[1])
            return z[mine]
        caches_ = self.caches[seq.key, kind]
        rows = self.naive.cached(seq.tokens, group[:first], group, label, *caches_, seq.buffer_kept)
        return rows[first : first + len(mine)]


@dataclass
class Case:
    config: MARConfig
    requests: list[GenerationRequest] = field(default_factory=list)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    config = draw(configs())
    return Case(config, [draw(requests(config, seed)) for seed in range(draw(st.integers(1, 3)))])


@settings(max_examples=25)
@given(cases(), st.integers(0, 4))
def test_any_mix_agrees_with_the_plain_form(case: Case, ahead: int) -> None:
    network = random_network(case.config, packed=False)
    network.head.leave.weight[case.config.token_channels :] = 0.0  # variances of a random head are beyond all numbers
    weights = official(network)
    if len(set(case.config.grid)) == 1:  # a grid that shapes can show
        heads = (case.config.encoder_heads, case.config.decoder_heads)
        found = infer_mar(Path("x"), weights, heads, case.config.patch)
        assert replace(found, diffusion_steps=case.config.diffusion_steps) == case.config
    decoder = decoder_of(network)
    watch = Watch(Naive(case.config, weights))
    decoder.probe = watch.probe
    seqs = admit(decoder, *case.requests)
    for _ in range(min(ahead, seqs[0].plan.steps)):
        step(decoder, seqs[:1])
    run(decoder, seqs)
    assert watch.seen == sum(seq.plan.steps * seq.branches for seq in seqs)
    assert decoder.slots.in_use == 0


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_patches_there_and_back(batch: int, rows: int, columns: int, channels: int, patch: int) -> None:
    shape = (batch, channels, rows * patch, columns * patch)
    latents = torch.arange(torch.Size(shape).numel()).reshape(shape)
    tokens = patchify(latents, patch)
    assert tokens.shape == (batch, rows * columns, channels * patch**2)
    cell = latents[-1, :, -patch:, :patch]  # the last row's first patch
    assert torch.equal(tokens[-1, (rows - 1) * columns], cell.flatten())
    assert torch.equal(unpatchify(tokens, patch, (rows, columns)), latents)
