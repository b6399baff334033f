"""What a preview shows: decided tokens, guesses for the rest, and how sure the model is of each."""

import numpy as np
import pytest

from models.decoder import Artifact, GenerationRequest, Kind, Sequence
from models.maskgit.decoder import MaskGITDecoder
from models.spec import Sampling
from tests.models.maskgit.build import tiny_decoder


def step(decoder: MaskGITDecoder, *seqs: Sequence) -> None:
    work = decoder.next_work(seqs[0])
    assert work is not None and work.kind is Kind.STEP
    decoder.run(work, seqs)


def shown(decoder: MaskGITDecoder, seq: Sequence) -> tuple[Artifact, np.ndarray, np.ndarray]:
    [made] = decoder.preview([decoder.snapshot(seq)])
    known, confidence = made.extra["known"], made.extra["confidence"]
    assert isinstance(known, np.ndarray) and isinstance(confidence, np.ndarray)
    return made, known, confidence


@pytest.mark.parametrize("reuse", [0, 1])
def test_the_grid_fills_and_what_is_decided_stays(reuse: int) -> None:
    decoder = tiny_decoder()
    sampling = Sampling(num_inference_steps=6, reuse=reuse)
    [seq] = decoder.admit(GenerationRequest("generate", 1, sampling, seed=3, partials=5))
    before_tokens, before = np.zeros(decoder.config.length), np.zeros(decoder.config.length, bool)
    for _ in range(5):
        step(decoder, seq)
        made, known, confidence = shown(decoder, seq)
        assert known.mean() == pytest.approx(seq.revealed)
        assert (known >= before).all() and (made.tokens[before] == before_tokens[before]).all()
        assert ((confidence > 0) & (confidence <= 1)).all()
        before_tokens, before = made.tokens, known
    step(decoder, seq)
    [final] = decoder.finish([seq])
    assert (final.tokens[before] == before_tokens[before]).all()
    order = final.extra["order"]
    assert isinstance(order, np.ndarray)
    assert [int((order == at + 1).sum()) for at in range(6)] == list(seq.plan.reveals)
    assert (order[~before] == 6).all() and final.extra["known"].all()  # type: ignore[attr-defined]


def test_a_snapshot_is_not_moved_by_later_steps() -> None:
    decoder = tiny_decoder()
    [seq] = decoder.admit(GenerationRequest("generate", 1, Sampling(num_inference_steps=6), seed=3, partials=5))
    step(decoder, seq)
    early = decoder.snapshot(seq)
    first = decoder.preview([early])[0]
    step(decoder, seq)
    again = decoder.preview([early])[0]
    assert (first.tokens == again.tokens).all() and (first.extra["known"] == again.extra["known"]).all()  # type: ignore[attr-defined]


def test_given_tokens_are_certain_and_watching_changes_nothing() -> None:
    decoder = tiny_decoder()
    length, (width, height) = decoder.config.length, decoder.spec.size
    mask = np.zeros((height, width), bool)
    mask[: height // 2] = True
    tokens = np.arange(length) % 7
    sampling = Sampling(num_inference_steps=4)

    def final(partials: int) -> np.ndarray:
        request = GenerationRequest("edit", 1, sampling, seed=3, mask=mask, tokens=tokens, partials=partials)
        [seq] = decoder.admit(request)
        step(decoder, seq)
        if partials:
            _, known, confidence = shown(decoder, seq)
            assert known[length // 2 :].all() and (confidence[length // 2 :] == 1.0).all()
        while (work := decoder.next_work(seq)) and work.kind is Kind.STEP:
            decoder.run(work, [seq])
        return decoder.finish([seq])[0].tokens

    assert (final(0) == final(3)).all()
