"""The direct loop makes what the decoder makes, from the same order and noise."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench.mar.models import bare_loops, load
from models.decoder import GenerationRequest, Kind
from models.decoding.noise import sequence_key
from models.mar.config import MARConfig
from models.mar.order import CounterChainNoise, reveal_order
from models.mar.sequence import MARSequence
from models.spec import Sampling
from tests.tiny import tiny_mar_checkpoint

# among a thousand noise levels the strongest would drown guidance and temperature of an untrained head
FEW_LEVELS = replace(MARConfig.preset("tiny"), train_steps=10, diffusion_steps=8)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(num_inference_steps=5, guidance_scale=2.5, guidance_schedule="linear", temperature=0.9),
        Sampling(num_inference_steps=16, guidance_scale=2.5, diffusion_steps=5),
        Sampling(num_inference_steps=1),
    ],
)
def test_same_tokens_as_the_decoder(tmp_path: Path, sampling: Sampling) -> None:
    place = tiny_mar_checkpoint(tmp_path, network=FEW_LEVELS)
    decoder = load(place, "cpu", "float32")
    [seq] = decoder.admit(GenerationRequest("generate", 2, sampling, seed=7))
    while (work := decoder.next_work(seq)) and work.kind is not Kind.FINISH:
        decoder.run(work, [seq])
    [made] = decoder.finish([seq])
    assert isinstance(seq, MARSequence)
    key = sequence_key(7, 0)

    def noise(wanted: Tensor, step: int) -> Tensor:
        return CounterChainNoise().normal(
            torch.full_like(wanted, key), wanted, torch.full_like(wanted, step), seq.tokens.shape[1]
        )

    loops = bare_loops(place, decoder)
    assert len(loops) == 2
    for loop in loops.values():
        tokens = loop.tokens(2, sampling, reveal_order(key, 16), noise)
        assert (tokens - seq.tokens).abs().max() < 1e-5 * seq.tokens.abs().max()
        assert loop.generate(2, sampling).shape == (made.array.shape[2], *made.array.shape[:2])
