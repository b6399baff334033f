"""A sequence's life in the decoder: prompts, uploads, mixes, previews, states that move, failures."""

import json
from collections.abc import Sequence as Seq
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from models.catalogue import Catalogue
from models.checkpoint import checkpoint_hash
from models.decoder import GenerationRequest, Kind, Misfit, PoisonedRows
from models.decoding.plan import Plan
from models.magnet.decoder import MAGNeTDecoder
from models.magnet.sequence import MAGNeTSequence
from models.spec import Sampling
from tests.tiny import tiny_magnet_checkpoint

SAMPLING = Sampling(num_inference_steps=10, codebook_steps=(4, 2, 2, 2), guidance_scale=3.0, temperature=1.0, top_p=0.9)
FINE = GenerationRequest("generate", (0, 4), SAMPLING, seed=3)
WAVE = np.random.default_rng(0).uniform(-0.5, 0.5, (100, 1)).astype(np.float32)  # 12.5 of 16 frames
MASK = np.zeros(100, dtype=bool)
MASK[30:55] = True  # frames 3 to 6
EDIT = replace(FINE, task="edit", waveform=WAVE, mask=MASK)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> MAGNeTDecoder:
    [entry] = Catalogue.scan([tiny_magnet_checkpoint(tmp_path_factory.mktemp("magnet"))]).entries.values()
    made = entry.family.load(entry.spec, entry.path, "cpu", "float32")
    assert isinstance(made, MAGNeTDecoder)
    return made


@pytest.fixture(scope="module")
def paired(tmp_path_factory: pytest.TempPathFactory) -> MAGNeTDecoder:
    """With a twin."""
    [entry] = Catalogue.scan([tiny_magnet_checkpoint(tmp_path_factory.mktemp("pair"), twin=True)]).entries.values()
    assert {"head_start", "rescoring"} <= entry.spec.parameters
    made = entry.family.load(entry.spec, entry.path, "cpu", "float32")
    assert isinstance(made, MAGNeTDecoder)
    return made


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


BEGUN = with_sampling(replace(FINE, seed=11), head_start=0.75)
"""Six of its sixteen frames, of which fifteen are made."""


@pytest.mark.parametrize(
    ("request_", "param", "message"),
    [
        (with_sampling(FINE, head_start=1.7), "head_start", "0 to 1.62 s"),
        (with_sampling(FINE, head_start=-1.0), "head_start", "0 to 1.62 s"),
        (with_sampling(EDIT, head_start=0.5), "head_start", "the start of an edit"),
        (with_sampling(FINE, rescoring=1.5), "rescoring", "0 to 1"),
    ],
)
def test_what_a_twin_cannot_do(paired: MAGNeTDecoder, request_: GenerationRequest, param: str, message: str) -> None:
    with pytest.raises(Misfit, match=message) as caught:
        paired.admit(request_)
    assert caught.value.param == param


def test_a_twin_begins_and_the_network_goes_on(paired: MAGNeTDecoder) -> None:
    [seq] = admit(paired, BEGUN)
    assert (seq.made, seq.plan.total) == (60, 4 * 3), "three spans behind the six frames"
    lanes = []
    while (work := paired.next_work(seq)) and work.kind is not Kind.FINISH:
        lanes.append(work.lane)
        paired.run(work, [seq])
        if seq.beginning is None and lanes[-1] == "beginning":
            start = seq.state.ids[:, :6].clone()
    assert lanes == ["prompt", *["beginning"] * 9, *["step"] * 10], (
        "a row for every frame, and one for every other codebook"
    )
    assert torch.equal(seq.state.ids[:, :6], start) and (seq.state.ids < 32).all()
    [plain] = admit(paired, with_sampling(BEGUN, head_start=0.0))
    assert not torch.equal(run(paired, plain).state.ids[:, :6], start)


def test_a_twin_judges(paired: MAGNeTDecoder) -> None:
    [plain], [judged] = admit(paired, FINE), admit(paired, with_sampling(FINE, rescoring=1.0))
    for seq in (plain, judged):
        for _ in range(2):
            advance(paired, [seq])  # the prompt, and a step
    assert torch.equal(plain.state.ids, judged.state.ids), "what was drawn is the same"
    assert not torch.equal(plain.state.scores, judged.state.scores)
    assert not torch.equal(run(paired, plain).state.ids, run(paired, judged).state.ids)


def test_with_a_twin_company_does_not_matter(paired: MAGNeTDecoder) -> None:
    requests = [
        FINE,
        BEGUN,
        with_sampling(replace(BEGUN, seed=12, condition=None), rescoring=0.3, temperature=0.0),
        with_sampling(replace(FINE, seed=13, n=2), rescoring=0.7, reuse=1),
    ]
    lone = {(s.request.seed, s.sample): run(paired, s).state.ids for s in admit(paired, *requests)}
    rng, together = Random(1), admit(paired, *requests)
    while running := [seq for seq in together if paired.next_work(seq).kind is not Kind.FINISH]:  # type: ignore[union-attr]
        lanes: dict[object, list[MAGNeTSequence]] = {}
        for seq in running:
            lanes.setdefault(paired.next_work(seq).lane, []).append(seq)  # type: ignore[union-attr]
        lane = rng.choice(list(lanes.values()))
        advance(paired, rng.sample(lane, rng.randint(1, len(lane))))
    for seq in together:
        assert torch.equal(seq.state.ids, lone[seq.request.seed, seq.sample])


@pytest.mark.parametrize("after", [0, 1, 4, 10, 12])
def test_what_a_twin_began_can_be_saved(paired: MAGNeTDecoder, after: int) -> None:
    [whole], [part] = admit(paired, BEGUN), admit(paired, BEGUN)
    run(paired, whole)
    for _ in range(after):
        advance(paired, [part])
    resumed = paired.restore(BEGUN, 0, paired.save(part))
    assert isinstance(resumed, MAGNeTSequence)
    assert torch.equal(run(paired, resumed).state.ids, whole.state.ids)
    paired.release(part)
    assert part.beginning is None


def test_a_failing_beginning_stays_with_its_owner(paired: MAGNeTDecoder) -> None:
    good, bad = admit(paired, BEGUN, replace(BEGUN, seed=9))
    for seq in (good, bad):
        advance(paired, [seq])
    assert bad.beginning is not None and bad.beginning.text is not None
    bad.beginning.text = bad.beginning.text * torch.nan
    with pytest.raises(PoisonedRows) as caught:
        advance(paired, [good, bad])
    assert caught.value.sequences == [bad]
    [lone] = admit(paired, BEGUN)
    assert torch.equal(run(paired, good).state.ids, run(paired, lone).state.ids)


def test_a_judgement_that_is_no_number_is_a_failure(paired: MAGNeTDecoder) -> None:
    good, bad = admit(paired, FINE, with_sampling(replace(FINE, seed=9), rescoring=0.5))
    for seq in (good, bad):
        advance(paired, [seq])
    assert bad.state.judged_text is not None
    bad.state.judged_text = bad.state.judged_text * torch.nan
    with pytest.raises(PoisonedRows) as caught:
        advance(paired, [good, bad])
    assert caught.value.sequences == [bad] and good.step == bad.step == 0


def test_memory_counts_the_twin(paired: MAGNeTDecoder) -> None:
    """At least what is held while it begins a sound."""
    [seq] = admit(paired, BEGUN)
    for _ in range(3):
        advance(paired, [seq])
    assert seq.beginning is not None and seq.beginning.text is not None
    held = [kept.kv for kept in seq.beginning.kept] + [seq.beginning.text]
    extra = paired.memory(BEGUN) - paired.memory(with_sampling(BEGUN, head_start=0.0))
    assert extra >= sum(t.nbytes for t in held)
    assert paired.memory(with_sampling(FINE, rescoring=0.5)) > paired.memory(FINE)


def test_a_twin_belongs_to_its_generator(tmp_path: Path) -> None:
    place = tiny_magnet_checkpoint(tmp_path, twin=True)
    before = checkpoint_hash(place)
    card = json.loads((place / "twin" / "config.json").read_text())
    for change, message in [
        ({"family": "magnet"}, "is no magnet-twin"),
        ({"vocabulary": [*card["vocabulary"][1:], "drum"]}, "vocabulary is not that"),
        ({"architecture": card["architecture"] | {"codebooks": 3}}, "codebooks is 3, but its generator has 4"),
        ({"architecture": card["architecture"] | {"seconds": 1.0}}, "seconds is 1.0, but its generator has 2.0"),
        ({"decoding": {"heat": 1}}, "decoding"),
        ({"decoding": {"temperature": -1.0}}, "temperature is -1.0"),
        ({"decoding": {"reuse": 1}}, "reuse has no effect"),
    ]:
        (place / "twin" / "config.json").write_text(json.dumps(card | change))
        assert checkpoint_hash(place) != before
        [problem] = Catalogue.scan([place]).broken.values()
        assert message in problem


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
