"""Strategies: small networks of many shapes, and requests for them."""

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from models.decoder import GenerationRequest
from models.mar.config import MARConfig
from models.spec import Sampling


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
def requests(draw: DrawFn, config: MARConfig, seed: int) -> GenerationRequest:
    steps = draw(st.integers(1, config.length))
    sampling = Sampling(
        num_inference_steps=steps,
        guidance_scale=draw(st.sampled_from([1.0, 1.0, 2.9])),
        guidance_schedule=draw(st.sampled_from(["linear", "constant"])),
        temperature=draw(st.sampled_from([0.7, 1.0])),
        reuse=draw(st.integers(0, 3)),
        full_first=draw(st.integers(0, steps)),
        reuse_buffer=draw(st.booleans()),
        diffusion_clip=3.0,
    )
    condition = draw(st.none() | st.integers(0, config.num_classes - 1))
    return GenerationRequest("generate", condition, sampling, seed)
