"""Levels and coefficients, against the published rules and the schedulers of diffusers."""

from dataclasses import replace
from math import inf

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.mcvd.config import MCVDConfig
from models.mcvd.diffusion import Levels, visited
from models.mcvd.samplers import Coefficients, Sampler, SamplerTables, advance, estimate

LEVELS = Levels.of(MCVDConfig())


def at(tables: SamplerTables, sampler: Sampler, call: int) -> Coefficients:
    return tables.coefficients(torch.tensor([tables.rows(sampler)[call]]))


@given(st.integers(1, 1000), st.data())
def test_even_steps_are_as_many_as_asked_for(train_steps: int, data: st.DataObject) -> None:
    steps = data.draw(st.integers(1, train_steps))
    places = visited(train_steps, steps)
    assert len(places) == steps and places[0] == 0 and places == sorted(set(places)) and places[-1] < train_steps
    if train_steps % steps == 0:
        assert places == visited(train_steps, steps, "official")


def test_the_published_rule_makes_more() -> None:
    assert len(visited(1000, 30, "official")) == 31 and len(visited(1000, 300, "official")) == 334
    assert visited(1000, 30)[:4] == [0, 33, 66, 100]


@pytest.mark.parametrize("steps", [0, 1001])
def test_impossible_numbers_of_steps_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match=f"a sampler has 1 to 1000 steps, not {steps}"):
        SamplerTables(LEVELS).rows(Sampler(steps=steps))


@given(st.lists(st.integers(1, 120), min_size=1, max_size=4, unique=True), st.sampled_from(["ddpm", "ddim"]), st.data())
def test_one_table_holds_samplers_of_all_lengths(lengths: list[int], kind: str, data: st.DataObject) -> None:
    tables, alone = SamplerTables(LEVELS), SamplerTables(LEVELS)
    samplers = [Sampler("ddpm" if kind == "ddpm" else "ddim", length) for length in lengths]
    samplers += [replace(sampler, spacing="official", final_denoise=True) for sampler in samplers]
    for sampler in samplers:
        tables.rows(sampler)
    sampler = data.draw(st.sampled_from(samplers))
    rows = list(tables.rows(sampler))
    own = list(alone.rows(sampler))
    assert torch.equal(tables.table[rows], alone.table[own]) and torch.equal(tables.labels[rows], alone.labels[own])
    assert len(rows) == len(visited(1000, sampler.steps, sampler.spacing)) + sampler.final_denoise


@pytest.mark.parametrize(
    "sampler", [Sampler("ddpm", 7), Sampler("ddim", 7), Sampler("ddim", 7, consistent=True), Sampler("ddpm", 1)]
)
def test_a_network_that_sees_the_noise_finds_the_block(sampler: Sampler) -> None:
    """And the last step leaves the estimate, whatever the sampler."""
    torch.manual_seed(0)
    tables, x0 = SamplerTables(LEVELS), torch.rand(1, 2, 3, 3) * 2.0 - 1.0
    x = torch.randn_like(x0)
    for call in range(len(tables.rows(sampler))):
        c = at(tables, sampler, call)
        noise = (x - c.signal_share * x0) / c.noise_share
        found = estimate(c, x, noise)
        torch.testing.assert_close(found, x0, atol=1e-3, rtol=0)
        x = advance(c, x, noise, found, torch.randn_like(x))
    assert torch.equal(x, found)


def test_where_the_final_denoising_looks() -> None:
    """The step's number is taken for a level: almost pure noise with few steps; the contrast that it removes."""
    tables = SamplerTables(LEVELS)
    removed = {}
    for steps in (10, 100, 1000):
        sampler = Sampler.official("ddim", steps)
        rows = tables.rows(sampler)
        assert int(tables.labels[rows[-1]]) == steps - 1
        removed[steps] = -float(at(tables, sampler, steps).of_noise)
        x = torch.randn(1, 1, 2, 2)
        noise = x.clone()  # what the network takes for noise when it is told that all is noise
        found = advance(at(tables, sampler, steps), x, noise, estimate(at(tables, sampler, steps), x, noise), x)
        torch.testing.assert_close(found, x * (1.0 - removed[steps]))
    torch.testing.assert_close(removed, {10: 0.3209, 100: 0.0435, 1000: 0.0100}, atol=1e-4, rtol=0)


def test_estimates_are_bounded_row_by_row() -> None:
    tables = SamplerTables(LEVELS)
    free, bounded = Sampler("ddim", 10, clip=inf), Sampler("ddim", 10, clip=1.0)
    rows = torch.tensor([tables.rows(free)[0], tables.rows(bounded)[0]])
    found = estimate(tables.coefficients(rows), torch.ones(2, 1, 2, 2), torch.zeros(2, 1, 2, 2))
    assert float(found[0].max()) > 150 and torch.equal(found[1], torch.ones(1, 2, 2))


def network(x: Tensor, t: int) -> Tensor:
    """Anything that depends on both."""
    return torch.sin(x * 3.0 + t / 100.0)


@pytest.mark.parametrize("steps", [5, 20, 50])
@pytest.mark.parametrize("kind", ["ddpm", "ddpm large", "ddim", "ddim consistent"])
def test_the_schedulers_of_diffusers(kind: str, steps: int) -> None:
    """They count levels the other way round: what the network is told is 999 - t."""
    from diffusers import DDIMScheduler, DDPMScheduler

    options = {"trained_betas": LEVELS.betas.flip(0).numpy(), "clip_sample": True, "timestep_spacing": "trailing"}
    if kind.startswith("ddpm"):
        variance = "fixed_large" if kind.endswith("large") else "fixed_small"
        scheduler = DDPMScheduler(**options, variance_type=variance)
        sampler = Sampler("ddpm", steps, full_variance=kind.endswith("large"))
    else:
        scheduler = DDIMScheduler(**options, set_alpha_to_one=True)
        sampler = Sampler("ddim", steps, consistent=kind.endswith("consistent"))
    scheduler.set_timesteps(steps)
    tables = SamplerTables(LEVELS)
    x = theirs = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    draws, stream = torch.Generator().manual_seed(2), torch.Generator().manual_seed(2)
    for call, t in enumerate(scheduler.timesteps.tolist()):
        row = tables.rows(sampler)[call]
        assert int(tables.labels[row]) == 999 - t
        last = call == steps - 1
        if last and sampler.full_variance:
            break  # theirs adds noise behind the last step, too
        if kind.startswith("ddpm"):
            theirs = scheduler.step(network(theirs, 999 - t), t, theirs, generator=draws).prev_sample
            draw = torch.zeros_like(x) if last else torch.randn(x.shape, generator=stream)
        else:
            theirs = scheduler.step(
                network(theirs, 999 - t), t, theirs, use_clipped_model_output=sampler.consistent
            ).prev_sample
            draw = torch.zeros_like(x)
        c, noise = at(tables, sampler, call), network(x, 999 - t)
        x = advance(c, x, noise, estimate(c, x, noise), draw)
        torch.testing.assert_close(x, theirs, atol=2e-4, rtol=2e-4)
