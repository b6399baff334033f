"""Strategies: small networks of many shapes, and requests for them."""

import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from models.decoding.noise import sequence_key
from models.mar.config import MARConfig
from models.mar.official import Sample
from models.mar.order import reveal_order
from models.mar.schedule import guidance_scales, plan


@st.composite
def configs(draw: DrawFn) -> MARConfig:
    few = st.integers(1, 3)
    encoder_heads, decoder_heads = draw(few), draw(few)
    return MARConfig(
        grid=(draw(st.integers(2, 4)), draw(st.integers(2, 4))),
        patch=draw(st.integers(1, 2)),
        channels=draw(st.integers(1, 5)),
        num_classes=draw(st.integers(1, 4)),
        buffer=draw(st.integers(1, 5)),
        encoder_dim=8 * encoder_heads,
        encoder_depth=draw(few),
        encoder_heads=encoder_heads,
        decoder_dim=8 * decoder_heads * draw(st.integers(1, 2)),
        decoder_depth=draw(few),
        decoder_heads=decoder_heads,
        mlp_ratio=draw(st.sampled_from([1.0, 2.0, 4.0])),
        head_depth=draw(few),
        head_width=8 * draw(few),
        diffusion_steps=draw(st.integers(2, 6)),
    )


@st.composite
def samples(draw: DrawFn, config: MARConfig, seed: int) -> Sample:
    steps = draw(st.integers(1, config.length))
    full_first = draw(st.none() | st.integers(0, steps))
    chosen = plan(config.length, steps, full_first, draw(st.integers(1, 3)))
    scale = draw(st.sampled_from([1.0, 1.0, 2.9]))
    kind = draw(st.sampled_from(["linear", "constant"]))
    key = sequence_key(seed, 0)
    return Sample(
        key=key,
        label=draw(st.integers(0, config.num_classes)),
        order=reveal_order(key, config.length),
        plan=chosen,
        scales=guidance_scales(list(chosen.reveals), config.length, scale, kind),  # type: ignore[arg-type]
        temperature=draw(st.sampled_from([0.7, 1.0])),
        tokens=torch.zeros(config.length, config.token_channels),
    )
