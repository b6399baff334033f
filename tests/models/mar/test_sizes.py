"""Any grid, patch, width, depth and plan: packed and slotted agrees with one sequence at a time."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.mar.config import MARConfig
from models.mar.importer import infer_mar, official_key
from models.mar.network import MAR
from models.mar.official import Sample, Sampler
from models.mar.pack import Packed
from models.mar.patches import patchify, unpatchify
from tests.models.mar.build import random_network
from tests.models.mar.naive import Naive
from tests.models.mar.sizes import configs, samples


def official(network: MAR) -> dict[str, Tensor]:
    """As a file would hold them."""
    leading = {"null_condition": 1, "mask_token": 2}
    return {
        official_key(key): value[(None,) * (1 if key.endswith("_positions") else leading.get(key, 0))]
        for key, value in network.state_dict().items()
    }


class Watched(Sampler):
    """Chains are replaced by arbitrary tokens; what they would have been conditioned on is compared."""

    def __init__(self, network: MAR, naive: Naive, buffer_kept: bool) -> None:
        super().__init__(network, buffer_kept=buffer_kept)
        self.naive = naive
        self.caches: dict[tuple[int, int], tuple[object, object]] = {}
        self.seen = 0

    def evaluate(self, ordered: list[Sample], guided: list[Sample]) -> tuple[Packed, Tensor]:
        packed, z = super().evaluate(ordered, guided)
        parts = z.split(packed.counts)
        for at, sample in enumerate([*ordered, *guided]):
            kind = int(at >= len(ordered))
            label = None if kind or sample.label == self.config.null_class else sample.label
            torch.testing.assert_close(parts[at], self.wanted(sample, kind, label), atol=2e-4, rtol=2e-4)
            self.seen += 1
        return packed, z

    def wanted(self, sample: Sample, kind: int, label: int | None) -> Tensor:
        begin = max(b for b in sample.plan.boundaries if b <= sample.step)
        before = sum(sample.plan.reveals[:begin])
        end = next(b for b in sample.plan.boundaries if b > sample.step)
        group = sample.order[before : sum(sample.plan.reveals[:end])].sort().values
        first = sum(sample.plan.reveals[begin : sample.step])
        mine = group[first : first + sample.plan.reveals[sample.step]]
        if sample.step == begin:
            z, *caches = self.naive.full(sample.tokens, sample.order[:before], label)
            self.caches[sample.key, kind] = (caches[0], caches[1])
            return z[mine]
        encoder, decoder = self.caches[sample.key, kind]
        rows = self.naive.cached(sample.tokens, group[:first], group, label, encoder, decoder, self.buffer_kept)  # type: ignore[arg-type]
        return rows[first : first + len(mine)]

    def chains(self, ordered: list[Sample], packed: Packed, z: Tensor) -> Tensor:
        total = sum(packed.counts[: len(ordered)])
        return torch.sin(packed.position[:total, None] + torch.arange(self.config.token_channels))


@dataclass
class Case:
    config: MARConfig
    samples: list[Sample] = field(default_factory=list)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    config = draw(configs())
    return Case(config, [draw(samples(config, seed)) for seed in range(draw(st.integers(1, 3)))])


@settings(max_examples=25)
@given(cases(), st.booleans(), st.integers(0, 4))
def test_any_mix_agrees_with_the_plain_form(case: Case, buffer_kept: bool, ahead: int) -> None:
    network = random_network(case.config, packed=False)
    weights = official(network)
    if len(set(case.config.grid)) == 1:  # a grid that shapes can show
        heads = (case.config.encoder_heads, case.config.decoder_heads)
        found = infer_mar(Path("x"), weights, heads, case.config.patch)
        assert replace(found, diffusion_steps=case.config.diffusion_steps) == case.config
    sampler = Watched(network, Naive(case.config, weights), buffer_kept)
    for _ in range(min(ahead, case.samples[0].plan.steps)):
        sampler.step(case.samples[:1])
    sampler.run(case.samples)
    assert sampler.seen == sum(sample.plan.steps * (1 + sample.guided) for sample in case.samples)
    assert sampler.slots.in_use == 0


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_patches_there_and_back(batch: int, rows: int, columns: int, channels: int, patch: int) -> None:
    shape = (batch, channels, rows * patch, columns * patch)
    latents = torch.arange(torch.Size(shape).numel()).reshape(shape)
    tokens = patchify(latents, patch)
    assert tokens.shape == (batch, rows * columns, channels * patch**2)
    cell = latents[-1, :, -patch:, :patch]  # the last row's first patch
    assert torch.equal(tokens[-1, (rows - 1) * columns], cell.flatten())
    assert torch.equal(unpatchify(tokens, patch, (rows, columns)), latents)
