"""A sequence's life in the decoder: edits, previews, plans that change, states that move, failures."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from models.decoder import GenerationRequest, Kind, PoisonedRows
from models.decoding.plan import Plan
from models.mar.decoder import MARDecoder
from models.mar.sequence import MARSequence
from models.spec import Sampling
from tests.models.mar.build import tiny_decoder
from tests.models.mar.drive import admit, run, step

FINE = GenerationRequest("generate", 1, Sampling(num_inference_steps=4, guidance_scale=2.0), seed=3)
IMAGE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
MASK = np.zeros((16, 16), dtype=bool)
MASK[:, 8:] = True  # the right half: 8 of 16 tokens
EDIT = replace(FINE, task="edit", image=IMAGE, mask=MASK)


@pytest.fixture
def decoder() -> MARDecoder:
    return tiny_decoder()


def alone(decoder: MARDecoder, request: GenerationRequest) -> MARSequence:
    [seq] = admit(decoder, request)
    if not seq.encoded:
        decoder.run(decoder.next_work(seq), [seq])  # type: ignore[arg-type]
    run(decoder, [seq])
    return seq


def with_sampling(request: GenerationRequest, **changes: object) -> GenerationRequest:
    return replace(request, sampling=replace(request.sampling, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (replace(FINE, n=0), "n is at least 1"),
        (replace(FINE, condition=4), "class index"),
        (with_sampling(FINE, num_inference_steps=0), "num_inference_steps"),
        (with_sampling(FINE, schedule="nope"), "schedule"),
        (with_sampling(FINE, diffusion_steps=1), "diffusion_steps is 2 to 1000, not 1"),
        (with_sampling(FINE, diffusion_steps=1001), "diffusion_steps is 2 to 1000, not 1001"),
        (with_sampling(FINE, diffusion_reuse=0.0), "diffusion_reuse"),
        (with_sampling(FINE, temperature=-1.0), "temperature"),
        (with_sampling(FINE, diffusion_clip=-1.0), "diffusion_clip"),
        (replace(FINE, plan=Plan(((4, 4), (4,)))), "reveals 12 tokens"),
        (with_sampling(FINE, reuse=7), None),
        (replace(FINE, plan=Plan(((2,) * 8,))), "at most 4 reuse steps"),
        (replace(EDIT, mask=np.ones((32, 32), dtype=bool)), "mask is 16x16"),
        (replace(EDIT, mask=np.zeros((16, 16), dtype=bool)), "nothing to be made"),
        (replace(EDIT, tokens=np.zeros((9, 4), dtype=np.float32)), "16 tokens"),
        (replace(EDIT, tokens=np.zeros(16, dtype=np.int32)), "16 tokens"),
        (replace(EDIT, tokens=np.full((16, 4), np.nan, dtype=np.float32)), "not finite"),
    ],
)
def test_what_does_not_fit_is_refused(decoder: MARDecoder, request_: GenerationRequest, message: str | None) -> None:
    if message is None:  # fewer steps than a group could have
        assert len(decoder.admit(request_)) == 1
        return
    with pytest.raises(ValueError, match=message):
        decoder.admit(request_)


def test_guidance_needs_classes(decoder: MARDecoder) -> None:
    decoder.spec = replace(decoder.spec, guidable=False)
    with pytest.raises(ValueError, match="guidance_scale is 1 for a model without classes"):
        decoder.admit(FINE)
    assert not admit(decoder, with_sampling(FINE, guidance_scale=1.0))[0].guided


def test_kept_tokens_of_an_edit_stay_and_the_others_are_made(decoder: MARDecoder) -> None:
    seq = alone(decoder, EDIT)
    encoded = admit(decoder, EDIT)[0]
    decoder.run(decoder.next_work(encoded), [encoded])  # type: ignore[arg-type]
    left = torch.arange(16).view(4, 4)[:, :2].flatten()
    assert sorted(seq.given.tolist()) == sorted(left.tolist())
    assert torch.equal(seq.tokens[left], encoded.tokens[left]) and bool(encoded.tokens[left].abs().sum() > 0)
    assert seq.plan.total == 8 and seq.known == 16 and bool(seq.known_mask.all())
    assert sorted(seq.order.tolist()) == sorted(set(range(16)) - set(left.tolist()))
    assert not torch.equal(seq.tokens, alone(decoder, replace(EDIT, seed=4)).tokens)


def test_what_lies_below_the_mask_has_no_influence(decoder: MARDecoder) -> None:
    image = IMAGE.copy()
    kept = decoder.finish([alone(decoder, EDIT)])[0].tokens
    again = alone(decoder, replace(EDIT, tokens=kept))  # as a kept result is edited
    changed = kept.copy()
    changed[MASK.reshape(4, 4, 4, 4).any(axis=(1, 3)).reshape(-1)] = 9.0
    other = alone(decoder, replace(EDIT, image=255 - image, tokens=changed))
    assert torch.equal(again.tokens, other.tokens)
    left = again.given
    assert torch.equal(again.tokens[left], torch.from_numpy(kept)[left])


def test_a_variation_makes_its_share_anew(decoder: MARDecoder) -> None:
    request = replace(FINE, task="variation", condition=None, image=IMAGE, strength=0.25, n=2)
    seqs = admit(decoder, request)
    assert [len(seq.order) for seq in seqs] == [4, 4] and not torch.equal(seqs[0].given, seqs[1].given)
    assert not seqs[0].guided and seqs[0].label == decoder.config.null_class


@pytest.mark.parametrize(("reuse", "task"), list(product([0, 2], ["generate", "edit"])))
def test_a_state_goes_on_elsewhere_with_the_same_bits(decoder: MARDecoder, reuse: int, task: str) -> None:
    request = with_sampling(FINE if task == "generate" else EDIT, reuse=reuse, num_inference_steps=6)
    wanted = alone(decoder, request)
    seq = admit(decoder, request)[0]
    elsewhere = tiny_decoder()
    moves = 0
    while seq.step < seq.plan.steps:
        if decoder.at_boundary(seq):
            state = decoder.save(seq)
            assert len(state) < 1024
            seq = elsewhere.restore(request, 0, state)  # type: ignore[assignment]
            decoder, elsewhere = elsewhere, decoder
            moves += 1
        work = decoder.next_work(seq)
        assert work is not None
        decoder.run(replace(work, times=min(work.times, 3)), [seq])
    assert moves >= 2 and torch.equal(seq.tokens, wanted.tokens) and torch.equal(seq.written, wanted.written)
    assert seq.known == 16 and seq.scales == wanted.scales


def test_states_and_plans_wait_for_the_end_of_a_chain(decoder: MARDecoder) -> None:
    seq = admit(decoder, FINE)[0]
    decoder.run(decoder.next_work(seq), [seq])  # type: ignore[arg-type]
    assert seq.chain is not None and not decoder.at_boundary(seq)
    for refused in (lambda: decoder.save(seq), lambda: decoder.shorten(seq, 1)):
        with pytest.raises(ValueError, match="only between groups"):
            refused()


def test_a_sent_back_plan_reproduces_a_shortened_run(decoder: MARDecoder) -> None:
    request = with_sampling(FINE, num_inference_steps=12, reuse=1)
    seq = admit(decoder, request)[0]
    for _ in range(4):
        step(decoder, [seq])
    decoder.shorten(seq, 3)
    assert seq.plan.steps <= 4 + 3 and seq.plan.total == 16
    run(decoder, [seq])
    again = alone(decoder, replace(request, plan=Plan.parse(str(seq.plan))))
    assert torch.equal(seq.tokens, again.tokens)


def test_more_samples_begin_with_the_first(decoder: MARDecoder) -> None:
    four = admit(decoder, replace(FINE, n=4))
    run(decoder, four)
    assert torch.equal(alone(decoder, FINE).tokens, four[0].tokens)
    assert not torch.equal(four[0].tokens, four[1].tokens)


def test_previews_show_what_is_known_and_change_nothing(decoder: MARDecoder) -> None:
    watched, plain = admit(decoder, replace(FINE, partials=3))[0], alone(decoder, FINE)
    shots = []
    while watched.step < watched.plan.steps:
        step(decoder, [watched])
        shots.append(decoder.snapshot(watched))
    made = decoder.preview(shots)
    known = [artifact.extra["known"].sum() for artifact in made]  # type: ignore[attr-defined]
    assert known == list(np.cumsum(watched.plan.reveals))
    assert not (made[0].tokens[~made[0].extra["known"]]).any()  # type: ignore[operator, index]
    order = made[-1].extra["order"]
    assert [int((order == at + 1).sum()) for at in range(watched.plan.steps)] == list(watched.plan.reveals)
    [final] = decoder.finish([watched])
    assert np.array_equal(final.array, made[-1].array) and final.array.shape == (16, 16, 3)
    assert np.array_equal(final.tokens, plain.tokens.numpy()) and decoder.next_work(watched) is None


def test_previews_know_what_was_written_inside_a_group(decoder: MARDecoder) -> None:
    """There positions rise, they do not follow the order."""
    [watched] = admit(decoder, replace(FINE, plan=Plan(((2, 3, 5), (6,))), partials=3))
    for made in (2, 5, 10, 16):
        before = watched.tokens.clone()
        step(decoder, [watched])
        known = decoder.snapshot(watched).known
        assert int(known.sum()) == made and torch.equal(
            (watched.tokens != before).any(-1) | (before != 0).any(-1), known
        )


def test_lack_of_memory_for_one_stack_keeps_no_slot_of_the_other(
    decoder: MARDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise MemoryError

    [seq] = admit(decoder, with_sampling(FINE, reuse=1))
    monkeypatch.setattr(decoder.slots.decoder, "_grow", full)
    with pytest.raises(MemoryError):
        decoder.run(decoder.next_work(seq), [seq])  # type: ignore[arg-type]
    assert decoder.slots.encoder.in_use == decoder.slots.decoder.in_use == 0


def test_chains_differ_in_length_and_come_to_an_end(decoder: MARDecoder) -> None:
    request = with_sampling(FINE, diffusion_steps=7, diffusion_reuse=0.6, reuse=1, num_inference_steps=4)
    seq = admit(decoder, request)[0]
    seen = []
    while (work := decoder.next_work(seq)) and work.kind is not Kind.FINISH:
        if work.kind is Kind.CHAIN:
            seen.append((seq.step, work.times, work.rows))
        decoder.run(work if work.times == 1 else replace(work, times=1), [seq])
    lengths = [max(times for at, times, _ in seen if at == step) for step in range(4)]
    assert lengths == [7, 4, 7, 4]
    assert all(rows == 2 * seq.plan.reveals[at] for at, _, rows in seen)


def test_a_poisoned_step_is_named_and_nothing_is_committed(decoder: MARDecoder) -> None:
    seqs = admit(decoder, *(replace(with_sampling(FINE, reuse=1), seed=seed) for seed in range(4)))
    step(decoder, seqs)
    step(decoder, seqs)
    seqs[2].tokens[:] = torch.nan
    with pytest.raises(PoisonedRows) as caught:
        decoder.run(decoder.next_work(seqs[0]), seqs)  # type: ignore[arg-type]
    assert caught.value.sequences == [seqs[2]]
    assert [seq.step for seq in seqs] == [2] * 4 and all(seq.chain is None for seq in seqs)
    assert decoder.slots.in_use == 0


def test_a_poisoned_chain_is_named_and_nothing_is_committed(decoder: MARDecoder) -> None:
    seqs = admit(decoder, *(replace(FINE, seed=seed) for seed in range(3)))
    decoder.run(decoder.next_work(seqs[0]), seqs)  # type: ignore[arg-type]
    chain = seqs[1].chain
    assert chain is not None
    seqs[1].chain = chain.at(torch.full_like(chain.x, torch.inf), 0)
    before = [seq.chain for seq in seqs]
    with pytest.raises(PoisonedRows) as caught:
        decoder.run(replace(decoder.next_work(seqs[0]), times=2), seqs)  # type: ignore[type-var]
    assert caught.value.sequences == [seqs[1]] and [seq.chain for seq in seqs] == before


def test_a_released_sequence_gives_its_slots_back(decoder: MARDecoder) -> None:
    seq = admit(decoder, with_sampling(FINE, reuse=2))[0]
    decoder.run(decoder.next_work(seq), [seq])  # type: ignore[arg-type]
    assert decoder.slots.in_use == 2
    decoder.release(seq)
    assert decoder.slots.in_use == 0


def test_memory_grows_with_guidance_reuse_and_samples(decoder: MARDecoder) -> None:
    plain = decoder.memory(with_sampling(FINE, guidance_scale=1.0))
    assert plain < decoder.memory(FINE) < decoder.memory(with_sampling(FINE, reuse=1))
    assert decoder.memory(replace(FINE, n=3)) == 3 * decoder.memory(FINE)
