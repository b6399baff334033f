"""What only a CUDA device can show. Run by `make test-gpu`; docs/gpu.md says where it last passed."""

import pytest
import torch

from models.decoder import GenerationRequest, Kind
from models.maskgit.decoder import MaskGITDecoder
from models.spec import Sampling
from tests.models.maskgit.build import tiny_decoder

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

REQUESTS = [
    GenerationRequest(
        "generate",
        seed % 4,
        Sampling(num_inference_steps=4 + seed % 9, reuse=seed % 3, guidance_scale=1.0 + seed % 2),
        seed=seed,
    )
    for seed in range(12)
]


def decode(decoder: MaskGITDecoder, together: bool) -> list[torch.Tensor]:
    groups = [REQUESTS] if together else [[request] for request in REQUESTS]
    grids = []
    for group in groups:
        seqs = [seq for request in group for seq in decoder.admit(request)]
        while running := [s for s in seqs if decoder.next_work(s).kind is Kind.STEP]:
            decoder.run(decoder.next_work(running[0]), running)
        grids += [decoder.pool.ids[seq.slot].cpu() for seq in seqs]
        for seq in seqs:
            decoder.release(seq)
    return grids


def agreement(a: list[torch.Tensor], b: list[torch.Tensor]) -> float:
    return float(torch.stack([(x == y).float().mean() for x, y in zip(a, b, strict=True)]).mean())


def test_fp32_tokens_are_those_of_the_cpu() -> None:
    """Outside near-ties: a flipped draw changes what follows, so nearly all grids must agree whole."""
    assert agreement(decode(tiny_decoder(device="cuda"), True), decode(tiny_decoder(), True)) > 0.95


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tokens_in_a_mix_are_those_of_a_lone_sequence(dtype: torch.dtype) -> None:
    decoder = tiny_decoder(device="cuda", dtype=dtype)
    assert agreement(decode(decoder, True), decode(decoder, False)) > 0.9
    assert decoder.slots.in_use == 0
