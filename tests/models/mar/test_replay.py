"""Whole generations of the published samplers: alone, together, and at different steps of the same batch."""

from copy import deepcopy

import pytest

from models.layers.linear import pack_linears
from models.mar.network import MAR
from models.mar.official import Sample
from tests.models.mar.replay import GROUPS, check, load, sampler_of, samples_of


@pytest.mark.parametrize("group", GROUPS)
def test_alone(network: MAR, group: str) -> None:
    io = load(group)
    for sample in samples_of(network, group, io):
        sampler_of(network, group, io).run([sample])
        check(network, [sample], io)


@pytest.mark.parametrize("group", GROUPS)
def test_together(network: MAR, group: str) -> None:
    io = load(group)
    sampler, samples = sampler_of(network, group, io), samples_of(network, group, io)
    sampler.run(samples)
    check(network, samples, io)
    assert sampler.slots.in_use == 0


@pytest.mark.parametrize("ahead", [1, 2, 3, 4])
@pytest.mark.parametrize("group", GROUPS)
def test_at_different_steps(network: MAR, group: str, ahead: int) -> None:
    io = load(group)
    sampler, samples = sampler_of(network, group, io), samples_of(network, group, io)
    for _ in range(ahead):
        sampler.step(samples[:1])
    sampler.run(samples)
    check(network, samples, io)


@pytest.mark.parametrize("group", GROUPS)
def test_with_packed_weights(network: MAR, group: str) -> None:
    """As a decoder would run it."""
    io, packed = load(group), deepcopy(network)
    pack_linears(packed)
    samples = samples_of(packed, group, io)
    sampler_of(packed, group, io).run(samples)
    check(packed, samples, io)


def test_guided_beside_unguided_and_reuse_beside_full(network: MAR) -> None:
    """Fixtures mixed in one batch: their noise differs by row, so rows of different fixtures take different keys."""
    groups = ("sample_cfg", "sample_nocfg", "recap_buffer_recomputed")
    recordings = {group: load(group) for group in groups}
    samples: dict[str, Sample] = {}
    sampler = sampler_of(network, groups[0], recordings[groups[0]])
    for row, group in enumerate(groups):
        [sample] = samples_of(network, group, recordings[group])[1:]
        sampler.noise.noise = (  # type: ignore[attr-defined]
            sampler.noise.noise if row else sampler.noise.noise.new_zeros(len(groups), *sampler.noise.noise.shape[1:])  # type: ignore[attr-defined]
        )
        sampler.noise.noise[row] = recordings[group]["noise"][1]  # type: ignore[attr-defined]
        sample.key = row
        samples[group] = sample
    sampler.run(list(samples.values()))
    for group, sample in samples.items():
        sample.key = 1
        check(network, [sample], recordings[group])
