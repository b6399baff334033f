"""A sequence's life in the decoder: prompts, uploads, mixes, previews, states that move, failures."""

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from models.catalogue import Catalogue
from models.decoder import GenerationRequest, Kind, Misfit, PoisonedRows
from models.decoding.plan import Plan
from models.magnet.decoder import MAGNeTDecoder
from models.magnet.sequence import MAGNeTSequence
from tests.models.magnet.lives import EDIT, FINE, MASK, WAVE, admit, advance, run, with_sampling
from tests.tiny import tiny_magnet_checkpoint


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> MAGNeTDecoder:
    [entry] = Catalogue.scan([tiny_magnet_checkpoint(tmp_path_factory.mktemp("magnet"))]).entries.values()
    made = entry.family.load(entry.spec, entry.path, "cpu", "float32")
    assert isinstance(made, MAGNeTDecoder)
    return made


@pytest.mark.parametrize(
    ("request_", "param", "message"),
    [
        (replace(FINE, n=0), "n", "n is at least 1"),
        (replace(FINE, condition=(6,)), "prompt", "below 6"),
        (replace(FINE, condition="piano"), "prompt", "terms"),
        (replace(FINE, frames=17), "duration", "2.12 s is outside of 0.375 to 2 s"),
        (replace(FINE, frames=2), "duration", "outside"),
        (replace(FINE, plan=Plan(((1,),))), "plan", "codebook_steps"),
        (with_sampling(FINE, codebook_steps=(4, 2)), "codebook_steps", "4 numbers"),
        (with_sampling(FINE, codebook_steps=(400, 1, 1, 1)), "codebook_steps", "4 to 400"),
        (with_sampling(FINE, codebook_steps=(), num_inference_steps=401), "num_inference_steps", "not 401"),
        (with_sampling(FINE, head_start=1.0), "head_start", "needs an autoregressive twin"),
        (with_sampling(FINE, rescoring=0.5), "rescoring", "needs an autoregressive twin"),
        (with_sampling(FINE, reuse=9), "reuse", "at most 8"),
        (with_sampling(FINE, temperature=-1.0), "temperature", "at least 0"),
        (replace(EDIT, waveform=None), "audio", "needs audio"),
        (replace(EDIT, waveform=WAVE[:0]), "audio", "needs audio"),
        (replace(EDIT, waveform=np.repeat(WAVE, 2, 1)), "audio", "1 channel"),
        (replace(EDIT, waveform=np.full_like(WAVE, np.nan)), "audio", "not finite"),
        (replace(EDIT, mask=MASK[:50]), "mask", "each sample"),
        (replace(EDIT, mask=np.zeros_like(MASK)), "mask", "nothing to be made"),
    ],
)
def test_what_does_not_fit_is_refused(
    decoder: MAGNeTDecoder, request_: GenerationRequest, param: str, message: str
) -> None:
    with pytest.raises(Misfit, match=message) as caught:
        decoder.admit(request_)
    assert caught.value.param == param


def test_steps_without_shares_keep_those_of_the_model(decoder: MAGNeTDecoder) -> None:
    [seq] = admit(decoder, with_sampling(FINE, codebook_steps=(), num_inference_steps=20))
    assert seq.state.decoding.steps == (8, 4, 4, 4)
    assert seq.plan.steps == 20


def test_a_plan_counts_what_every_step_decides(decoder: MAGNeTDecoder) -> None:
    [seq] = admit(decoder, FINE)
    assert str(seq.plan) == "1,2,1,1,4,1,4,1,4,1" and seq.total == 20, "five spans of three in four codebooks"
    assert (seq.known, seq.made) == (0, 60)
    run(decoder, seq)
    assert (seq.known, seq.revealed) == (20, 1.0)
    assert (seq.state.written > 0).all()


@pytest.mark.parametrize("arrangement", ["nonoverlap", "stride1"])
def test_an_edit_makes_the_frames_that_its_mask_touches(decoder: MAGNeTDecoder, arrangement: str) -> None:
    [seq] = admit(decoder, with_sampling(EDIT, span_arrangement=arrangement))
    assert seq.state.ids.shape == (4, 13)
    assert (~seq.state.known).nonzero().flatten().tolist() == [3, 4, 5, 6]
    assert seq.made == 16
    run(decoder, seq)
    [given] = decoder.codec.encode(torch.from_numpy(WAVE.T.copy()).unsqueeze(0))
    assert torch.equal(seq.state.ids[:, seq.state.known], given[:, seq.state.known])
    [made] = decoder.finish([seq])
    assert made.array.shape == (104, 1) and made.array.dtype == np.float32


def test_a_longer_edit_is_a_continuation(decoder: MAGNeTDecoder) -> None:
    [seq] = admit(decoder, replace(EDIT, mask=np.zeros_like(MASK), frames=16))
    assert (~seq.state.known).nonzero().flatten().tolist() == [12, 13, 14, 15], "the half token, too"
    run(decoder, seq)
    assert (seq.state.ids < decoder.config.codebook_size).all()


def test_tokens_of_an_earlier_result_need_no_encoding(decoder: MAGNeTDecoder) -> None:
    for frames in (13, 16):  # spans may have reached beyond what was delivered
        [seq] = admit(decoder, replace(EDIT, tokens=np.full((4, frames), 5, np.int32)))
        run(decoder, seq)
        assert seq.state.ids.shape == (4, 13) and (seq.state.ids[:, seq.state.known] == 5).all()
    with pytest.raises(Misfit, match="does not reach to the end"):
        admit(decoder, replace(EDIT, tokens=np.full((4, 12), 5, np.int32)))


def test_samples_and_requests_in_any_mix_are_those_of_lone_ones(decoder: MAGNeTDecoder) -> None:
    requests = [
        replace(FINE, n=2),
        with_sampling(replace(FINE, seed=4, condition=None), guidance_scale=1.0, codebook_steps=(1, 1, 1, 5)),
        with_sampling(replace(FINE, seed=5, frames=9), span_arrangement="stride1", temperature=0.0),
        replace(EDIT, seed=6),
        with_sampling(replace(FINE, seed=7), reuse=2),
        with_sampling(replace(EDIT, seed=8), reuse=1, span_arrangement="stride1", guidance_share=0.5),
    ]
    lone = {(s.request.seed, s.sample): run(decoder, s).state.ids for s in admit(decoder, *requests)}
    alone = {key: decoder.finish([seq])[0].array for key, seq in _finished(decoder, requests)}
    rng, running = Random(0), admit(decoder, *requests)
    together = list(running)
    while running := [seq for seq in running if decoder.next_work(seq).kind is not Kind.FINISH]:  # type: ignore[union-attr]
        lanes: dict[object, list[MAGNeTSequence]] = {}
        for seq in running:
            lanes.setdefault(decoder.next_work(seq).lane, []).append(seq)  # type: ignore[union-attr]
        lane = rng.choice(list(lanes.values()))
        advance(decoder, rng.sample(lane, rng.randint(1, len(lane))))
    for seq, artifact in zip(together, decoder.finish(together), strict=True):
        key = seq.request.seed, seq.sample
        assert torch.equal(seq.state.ids, lone[key])
        assert np.array_equal(artifact.array, alone[key])
    assert not torch.equal(lone[3, 0], lone[3, 1])


def _finished(
    decoder: MAGNeTDecoder, requests: list[GenerationRequest]
) -> list[tuple[tuple[int, int], MAGNeTSequence]]:
    return [((seq.request.seed, seq.sample), run(decoder, seq)) for seq in admit(decoder, *requests)]


@pytest.mark.parametrize("request_", [FINE, EDIT], ids=["generate", "edit"])
@pytest.mark.parametrize("after", [0, 1, 2, 5, 11])
def test_a_saved_state_goes_on_elsewhere(decoder: MAGNeTDecoder, request_: GenerationRequest, after: int) -> None:
    [whole], [part] = admit(decoder, request_), admit(decoder, request_)
    run(decoder, whole)
    for _ in range(after):
        advance(decoder, [part])
    state = decoder.save(part)
    assert len(state) < 1000
    resumed = decoder.restore(request_, 0, state)
    assert isinstance(resumed, MAGNeTSequence) and resumed.step == part.step
    run(decoder, resumed)
    assert torch.equal(resumed.state.ids, whole.state.ids)
    assert torch.equal(resumed.state.written, whole.state.written) and resumed.known == whole.known


RISING = with_sampling(EDIT, reuse=3, guidance_scale=1.0, guidance_end=4.0, span_arrangement="stride1")
"""The first step of every codebook has one branch, those after it have two."""


def test_branches_that_come_later_find_nothing_of_another_codebook(decoder: MAGNeTDecoder) -> None:
    [whole] = admit(decoder, RISING)
    run(decoder, whole)
    [part] = admit(decoder, RISING)
    while decoder.next_work(part).kind is not Kind.FINISH:  # type: ignore[union-attr]
        if decoder.at_boundary(part):
            resumed = decoder.restore(RISING, 0, decoder.save(part))
            assert isinstance(resumed, MAGNeTSequence)
            run(decoder, resumed)
            assert torch.equal(resumed.state.ids, whole.state.ids)
            torch.testing.assert_close(resumed.state.scores, whole.state.scores, atol=0.0, rtol=0.0)
        advance(decoder, [part])


def test_a_state_with_kept_rows_is_saved_between_groups(decoder: MAGNeTDecoder) -> None:
    asked = with_sampling(FINE, reuse=3)
    [whole], [part] = admit(decoder, asked), admit(decoder, asked)
    run(decoder, whole)
    assert str(whole.plan) == "1+2+1+1,4+1,4+1,4+1"
    saved = 0
    while decoder.next_work(part).kind is not Kind.FINISH:  # type: ignore[union-attr]
        if decoder.at_boundary(part):
            resumed = decoder.restore(asked, 0, decoder.save(part))
            assert isinstance(resumed, MAGNeTSequence)
            assert torch.equal(run(decoder, resumed).state.ids, whole.state.ids)
            saved += 1
        else:
            for change in (decoder.save, lambda seq: decoder.shorten(seq, 1)):
                with pytest.raises(ValueError, match="between groups"):
                    change(part)
        advance(decoder, [part])
    assert saved == 5, "before and behind the prompt, and before every other codebook"
    decoder.release(part)
    assert not part.state.kept


def test_what_has_not_begun_can_be_shortened(decoder: MAGNeTDecoder) -> None:
    [seq] = admit(decoder, FINE)
    decoder.shorten(seq, 7)
    assert seq.state.decoding.steps == (3, 2, 1, 1)
    for _ in range(2):
        advance(decoder, [seq])  # the prompt, and a step
    decoder.shorten(seq, 1)
    assert seq.state.decoding.steps == (3, 1, 1, 1), "a codebook that has begun keeps its steps"
    state = decoder.save(seq)
    run(decoder, seq)
    assert seq.step == 6 and (seq.state.ids < decoder.config.codebook_size).all()
    again = decoder.restore(FINE, 0, state)
    assert isinstance(again, MAGNeTSequence)
    assert torch.equal(run(decoder, again).state.ids, seq.state.ids)
    [told] = admit(decoder, with_sampling(FINE, codebook_steps=(3, 1, 1, 1)))
    assert torch.equal(run(decoder, told).state.ids, seq.state.ids), "the executed steps reproduce it"


def test_previews_are_of_finished_codebooks(decoder: MAGNeTDecoder) -> None:
    [seq] = admit(decoder, replace(FINE, partials=2))
    heard = []
    while (work := decoder.next_work(seq)) and work.kind is not Kind.FINISH:
        decoder.run(work, [seq])
        if seq.step:
            [partial] = decoder.preview([decoder.snapshot(seq)])
            assert partial.array.shape == (120, 1) and np.isfinite(partial.array).all()
            heard.append(seq.audible)
    assert heard == [1, 1, 1, 1, 1, 2, 2, 3, 3, 4]
    [done] = decoder.finish([seq])
    assert np.array_equal(partial.array, done.array), "of all codebooks it is the result"
    assert done.extra["known"].all()  # type: ignore[attr-defined]


def test_a_failure_stays_with_its_owner(decoder: MAGNeTDecoder) -> None:
    good, bad = admit(decoder, FINE, replace(FINE, seed=9))
    for seq in (good, bad):
        advance(decoder, [seq])
    assert bad.state.text is not None
    bad.state.text = bad.state.text * torch.nan
    before = good.state.ids.clone()
    with pytest.raises(PoisonedRows) as caught:
        advance(decoder, [good, bad])
    assert caught.value.sequences == [bad]
    assert good.step == bad.step == 0 and torch.equal(good.state.ids, before)


def test_memory_is_a_number_of_bytes(decoder: MAGNeTDecoder) -> None:
    assert 0 < decoder.memory(FINE) < decoder.memory(replace(FINE, n=3))
    assert decoder.memory(replace(FINE, frames=8)) < decoder.memory(FINE) < decoder.memory(with_sampling(FINE, reuse=1))


def test_the_catalogue_knows_it(tmp_path: Path) -> None:
    [entry] = Catalogue.scan([tiny_magnet_checkpoint(tmp_path)]).entries.values()
    spec = entry.spec
    assert (spec.modality, spec.grid, spec.sampling.codebook_steps) == ("audio", (4, 16), (4, 2, 2, 2))
    assert spec.sound is not None and (spec.sound.rate, spec.sound.hop, spec.sound.most_seconds) == (64, 8, 2.0)
    understood = entry.family.understand(spec, "A slow piano, please")
    assert (understood.condition, understood.revised) == ((0, 4), "slow piano")
