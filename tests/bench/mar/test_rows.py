"""Rows of a run are those that the decoder announces."""

import pytest

from bench.mar.rows import Price, Rows, rows_of
from models.decoder import GenerationRequest, Kind
from models.mar.config import MARConfig
from models.spec import Sampling
from tests.models.mar.build import tiny_decoder


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(num_inference_steps=5),
        Sampling(num_inference_steps=8, guidance_scale=2.0, reuse=1, full_first=2),
        Sampling(num_inference_steps=8, guidance_scale=2.0, reuse=2, reuse_buffer=True, diffusion_reuse=0.25),
        Sampling(num_inference_steps=6, reuse=1, diffusion_steps=6),
    ],
)
def test_as_many_as_the_decoder_announces(sampling: Sampling) -> None:
    decoder = tiny_decoder()
    [seq] = decoder.admit(GenerationRequest("generate", 0, sampling, seed=0))
    stacks = chains = 0
    while (work := decoder.next_work(seq)) and work.kind is not Kind.FINISH:
        stacks += work.rows if work.kind is Kind.STEP else 0
        chains += work.rows * work.times if work.kind is Kind.CHAIN else 0
        decoder.run(work, [seq])
    rows = rows_of(decoder.config, sampling)
    assert (rows.encoder + rows.decoder, rows.head) == (stacks, chains)


def test_prices_are_weights_of_linear_layers() -> None:
    config = MARConfig.preset("tiny")
    price = Price.of(config)
    block = 32 * 32 * (3 + 1 + 4 + 4)  # qkv, projection, both layers of the MLP
    assert price.decoder == config.decoder_depth * block
    assert price.encoder == config.encoder_depth * block + 32 * 32
    width = config.head_width
    assert price.head == config.head_depth * 5 * width**2 + 2 * width**2 + 3 * 4 * width
    assert price.total(Rows(1, 2, 3)) == price.encoder + 2 * price.decoder + 3 * price.head
    assert price.stacks(Rows(1, 2, 3)) == price.encoder + 2 * price.decoder
