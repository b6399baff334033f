"""Requests, and the lives of their sequences, for tests of the decoder."""

from collections.abc import Sequence as Seq
from dataclasses import replace

import numpy as np

from models.decoder import GenerationRequest, Kind
from models.magnet.decoder import MAGNeTDecoder
from models.magnet.sequence import MAGNeTSequence
from models.spec import Sampling

SAMPLING = Sampling(num_inference_steps=10, codebook_steps=(4, 2, 2, 2), guidance_scale=3.0, temperature=1.0, top_p=0.9)
FINE = GenerationRequest("generate", (0, 4), SAMPLING, seed=3)
WAVE = np.random.default_rng(0).uniform(-0.5, 0.5, (100, 1)).astype(np.float32)  # 12.5 of 16 frames
MASK = np.zeros(100, dtype=bool)
MASK[30:55] = True  # frames 3 to 6
EDIT = replace(FINE, task="edit", waveform=WAVE, mask=MASK)


def admit(decoder: MAGNeTDecoder, *requests: GenerationRequest) -> list[MAGNeTSequence]:
    return [seq for request in requests for seq in decoder.admit(request)]  # type: ignore[misc]


def advance(decoder: MAGNeTDecoder, seqs: Seq[MAGNeTSequence]) -> None:
    """The next work of them all, which is the same."""
    work = decoder.next_work(seqs[0])
    assert work is not None
    decoder.run(work, seqs)


def run(decoder: MAGNeTDecoder, seq: MAGNeTSequence) -> MAGNeTSequence:
    while (work := decoder.next_work(seq)) and work.kind is not Kind.FINISH:
        decoder.run(work, [seq])
    return seq


def with_sampling(request: GenerationRequest, **changes: object) -> GenerationRequest:
    return replace(request, sampling=replace(request.sampling, **changes))  # type: ignore[arg-type]
