"""Requests that do not fit are refused by name, and leave no slot behind."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.decoder import GenerationRequest
from models.decoding.plan import Plan
from models.spec import Sampling
from tests.models.maskgit.build import tiny_decoder

FINE = GenerationRequest("generate", 1, Sampling(num_inference_steps=4), seed=0)
IMAGE = np.zeros((16, 16, 3), dtype=np.uint8)
MASK = np.ones((16, 16), dtype=bool)
EDIT = replace(FINE, task="edit", image=IMAGE, mask=MASK)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (replace(FINE, n=0), "n is at least 1"),
        (replace(FINE, condition=4), "class index"),
        (replace(FINE, condition=-1), "class index"),
        (replace(FINE, sampling=Sampling(num_inference_steps=0)), "num_inference_steps"),
        (replace(FINE, sampling=Sampling(schedule="nope")), "schedule"),
        (replace(FINE, plan=Plan(((4, 4), (4,)))), "reveals 12 tokens"),
        (replace(FINE, plan=Plan(((2,) * 8,))), "at most 4 reuse steps"),
        (replace(FINE, sampling=Sampling(reuse=7)), "at most 4 reuse steps"),
        (replace(EDIT, mask=np.ones((32, 32), dtype=bool)), "mask is 16x16"),
        (replace(EDIT, image=np.zeros((8, 16, 3), dtype=np.uint8)), "image is 16x16"),
        (replace(EDIT, mask=np.zeros((16, 16), dtype=bool)), "nothing to be made"),
        (replace(EDIT, mask=None), "needs a mask"),
        (replace(EDIT, image=None), "needs an image"),
        (replace(EDIT, image=None, tokens=np.zeros(9, dtype=np.int32)), "16 tokens"),
        (replace(FINE, sampling=Sampling(top_k=10**30)), "long"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(request_: GenerationRequest, message: str) -> None:
    decoder = tiny_decoder()
    decoder.release(decoder.admit(FINE)[0])
    free = sorted(decoder.pool.free)
    with pytest.raises((ValueError, RuntimeError, OverflowError), match=message):
        decoder.admit(request_)
    assert sorted(decoder.pool.free) == free


def test_a_token_is_remade_iff_its_cell_touches_the_mask() -> None:
    decoder = tiny_decoder()  # 4x4 cells of 4x4 pixels
    mask = np.zeros((16, 16), dtype=bool)
    mask[3, 4] = True  # the last row of cell row 0, the first column of cell column 1
    tokens = np.arange(16, dtype=np.int32)
    [seq] = decoder.admit(replace(EDIT, image=None, tokens=tokens, mask=mask))
    slot = seq.slot  # type: ignore[attr-defined]
    assert decoder.pool.known[slot].tolist() == [at != 1 for at in range(16)]
    assert decoder.pool.ids[slot].tolist() == [32 if at == 1 else at for at in range(16)]
    assert seq.plan == Plan(((1,),))


def test_a_variation_remakes_its_share_and_samples_differ() -> None:
    decoder = tiny_decoder()
    request = replace(FINE, task="variation", tokens=np.arange(16, dtype=np.int32), strength=0.25, n=3)
    seqs = decoder.admit(request)
    known = [decoder.pool.known[seq.slot] for seq in seqs]  # type: ignore[attr-defined]
    assert [int((~k).sum()) for k in known] == [4, 4, 4]
    assert not torch.equal(known[0], known[1])
