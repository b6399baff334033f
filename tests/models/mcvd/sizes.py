"""Strategies: small networks of many shapes, and clips for them."""

import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from models.decoding.noise import sequence_key
from models.mcvd.clip import Clip
from models.mcvd.config import MCVDConfig
from models.mcvd.samplers import Sampler
from models.mcvd.tasks import Task


@st.composite
def configs(draw: DrawFn) -> MCVDConfig:
    levels = draw(st.integers(1, 3))
    side = draw(st.sampled_from([2, 3])) * 2 ** (levels - 1)
    width = draw(st.sampled_from([4, 5, 6, 8, 9]))
    few = st.integers(1, 3)
    return MCVDConfig(
        resolution=side,
        channels=draw(st.sampled_from([1, 3])),
        frames=draw(few),
        past=draw(few),
        future=draw(st.integers(0, 2)),
        width=width,
        multipliers=tuple(draw(st.lists(few, min_size=levels, max_size=levels))),
        res_blocks=draw(st.integers(1, 2)),
        attention=tuple(draw(st.sets(st.sampled_from([side >> level for level in range(levels)])))),
        head_channels=draw(st.sampled_from([-1, width, 10 * width])),
        dropout=0.1,
        spade=draw(st.booleans()),
        spade_dim=draw(st.integers(1, 5)),
        past_embedding=draw(st.booleans()),
        mask_past=0.5,
        mask_future=0.5,
        betas=draw(st.sampled_from(["linear", "cosine"])),
    )


@st.composite
def samplers(draw: DrawFn) -> Sampler:
    return Sampler(
        kind=draw(st.sampled_from(["ddpm", "ddim"])),
        steps=draw(st.integers(1, 4)),
        clip=1.0,
        spacing=draw(st.sampled_from(["even", "official"])),
        final_denoise=draw(st.booleans()),
        full_variance=draw(st.booleans()),
        consistent=draw(st.booleans()),
    )


@st.composite
def clips(draw: DrawFn, config: MCVDConfig, seed: int) -> Clip:
    task = draw(st.sampled_from(list(map(Task, config.tasks))))
    total = config.frames if task is Task.INTERPOLATION else draw(st.integers(1, 2 * config.frames + 1))
    torch.manual_seed(seed)
    past, future = torch.rand(2, 3 * config.channels, config.resolution, config.resolution) * 2.0 - 1.0
    return Clip.begin(config, sequence_key(seed, 0), task, draw(samplers()), total, past, future)
