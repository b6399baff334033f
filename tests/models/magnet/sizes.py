"""Strategies: small networks of many shapes, and ways to decode with them."""

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from models.magnet.config import MAGNeTConfig
from models.magnet.decoding import Decoding


@st.composite
def configs(draw: DrawFn) -> MAGNeTConfig:
    few = st.integers(1, 3)
    heads, span = draw(few), draw(st.integers(1, 4))
    return MAGNeTConfig(
        codebooks=draw(st.integers(1, 4)),
        codebook_size=draw(st.integers(2, 20)),
        frame_rate=1,
        seconds=draw(st.integers(max(2, span), 40)),
        span=span,
        context=draw(st.integers(-1, 6)),
        dim=heads * draw(st.sampled_from([4, 6, 8])),
        depth=draw(few),
        heads=heads,
        mlp_ratio=draw(st.sampled_from([1.0, 2.0, 4.0])),
        text_encoder="",
        text_dim=draw(st.integers(1, 9)),
    )


@st.composite
def decodings(draw: DrawFn, config: MAGNeTConfig) -> Decoding:
    return Decoding(
        steps=tuple(draw(st.integers(1, 5)) for _ in range(config.codebooks)),
        temperature=draw(st.sampled_from([0.0, 0.7, 1.0, 3.0])),
        anneal=draw(st.booleans()),
        top_k=draw(st.sampled_from([0, 0, 1, 3, 100])),
        top_p=draw(st.sampled_from([1.0, 0.9, 0.3])),
        guidance=draw(st.sampled_from([(10.0, 1.0), (1.0, 1.0), (2.0, 3.0)])),
        arrangement=draw(st.sampled_from(["nonoverlap", "stride1"])),
        scoring=draw(st.sampled_from(["max", "prod"])),
        greedy=draw(st.booleans()),
    )
