"""A sequence's life in the decoder: tasks, previews, plans that change, states that move, failures."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.catalogue import Catalogue
from models.checkpoint import CheckpointError, read_config
from models.decoder import Artifact, GenerationRequest, Kind, Misfit, PoisonedRows, Sequence
from models.mcvd.config import MCVDConfig
from models.mcvd.decoder import MCVDDecoder
from models.mcvd.sequence import ClipSequence, own
from models.mcvd.tasks import Task
from models.spec import Sampling
from tests.tiny import tiny_mcvd_checkpoint

CONFIG = MCVDConfig.preset("tiny")  # blocks of 3 frames, 3 before and 3 behind
SIDE, F = CONFIG.resolution, CONFIG.frames
RNG = np.random.default_rng(0)
PAST, FUTURE = RNG.integers(0, 256, (2, 4, SIDE, SIDE, 1), np.uint8)
SHORT = Sampling(num_inference_steps=3)
PREDICT = GenerationRequest("generate", None, SHORT, seed=3, frames=5, clip_task="prediction", past=PAST)
TASKS = {
    Task.PREDICTION: PREDICT,
    Task.INTERPOLATION: replace(PREDICT, clip_task="interpolation", frames=F, future=FUTURE),
    Task.PAST: replace(PREDICT, clip_task="past", past=None, future=FUTURE),
    Task.UNCONDITIONAL: replace(PREDICT, clip_task="unconditional", past=None),
}
HIDDEN = np.zeros((5, SIDE, SIDE), bool)
HIDDEN[1:3, :, 8:] = True
EDIT = replace(PREDICT, task="edit", image=RNG.integers(0, 256, (5, SIDE, SIDE, 1), np.uint8), mask=HIDDEN)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_mcvd_checkpoint(tmp_path_factory.mktemp("mcvd"))


@pytest.fixture
def decoder(place: Path) -> MCVDDecoder:
    return opened(place)


def opened(place: Path) -> MCVDDecoder:
    [entry] = Catalogue.scan([place]).entries.values()
    decoder = entry.family.load(entry.spec, entry.path, "cpu", "float32")
    assert isinstance(decoder, MCVDDecoder)
    return decoder


def works(decoder: MCVDDecoder, seq: Sequence, steps: int = 10**9) -> Iterator[Kind]:
    """Run up to `steps` network calls of a lone sequence, all but its finish."""
    while (work := decoder.next_work(seq)) is not None and work.kind is not Kind.FINISH:
        if work.kind is Kind.STEP and steps == 0:
            return
        decoder.run(work, [seq])
        steps -= work.kind is Kind.STEP
        yield work.kind


def alone(decoder: MCVDDecoder, request: GenerationRequest) -> tuple[ClipSequence, Artifact]:
    [seq] = decoder.admit(request)
    list(works(decoder, seq))
    [made] = decoder.finish([seq])
    assert decoder.next_work(seq) is None
    decoder.release(seq)
    return own(seq), made


def with_sampling(request: GenerationRequest, **changes: object) -> GenerationRequest:
    return replace(request, sampling=replace(request.sampling, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("task", Task)
def test_every_task_makes_the_frames_asked_for(decoder: MCVDDecoder, task: Task) -> None:
    seq, made = alone(decoder, TASKS[task])
    frames = TASKS[task].frames
    assert made.array.shape == (frames, SIDE, SIDE, 1) and made.array.dtype == np.uint8
    assert len(made.tokens) == 0
    assert seq.step == seq.plan.steps == 3 * -(-frames // F)
    assert seq.known == seq.total == seq.plan.total == frames
    assert len(np.unique(made.array)) > 20


def test_a_plan_reveals_a_block_at_its_last_call(decoder: MCVDDecoder) -> None:
    [seq] = decoder.admit(with_sampling(PREDICT, num_inference_steps=12, final_denoise="official"))
    assert str(seq.plan) == "12*0,3,12*0,2"


def test_a_block_is_begun_once(decoder: MCVDDecoder) -> None:
    [seq] = decoder.admit(PREDICT)
    kinds = list(works(decoder, seq))
    assert kinds == [Kind.ENCODE, *[Kind.STEP] * 3] * 2


@pytest.mark.parametrize(
    ("request_", "param", "message"),
    [
        (replace(PREDICT, n=0), "n", "at least 1"),
        (replace(PREDICT, frames=0), "frames", "1 to 1000"),
        (replace(PREDICT, frames=1001), "frames", "1 to 1000"),
        (replace(PREDICT, past=PAST[:2]), "past", "3 past frames are needed, not 2"),
        (replace(PREDICT, past=None), "past", "not 0"),
        (replace(PREDICT, past=PAST[:, :8]), "past", r"\(16, 16, 1\) bytes each, not \(8, 16, 1\)"),
        (replace(TASKS[Task.PAST], future=None), "future", "3 future frames are needed"),
        (replace(TASKS[Task.INTERPOLATION], frames=4), "frames", "3 frames fit between"),
        (with_sampling(PREDICT, num_inference_steps=1001), "num_inference_steps", "1 to 1000"),
        (with_sampling(PREDICT, block_steps=(3,)), "block_steps", "2 blocks are made"),
        (with_sampling(PREDICT, block_steps=(3, 0)), "block_steps", r"not \[0, 3\]"),
        (replace(EDIT, image=None), "video", "what is known"),
        (replace(EDIT, mask=HIDDEN[:4]), "mask", "each pixel of each frame"),
        (replace(EDIT, mask=np.zeros_like(HIDDEN)), "mask", "nothing to be made"),
    ],
)
def test_what_does_not_fit_is_refused(
    decoder: MCVDDecoder, request_: GenerationRequest, param: str, message: str
) -> None:
    with pytest.raises(Misfit, match=message) as found:
        decoder.admit(request_)
    assert found.value.param == param


def test_a_task_that_was_not_trained_is_refused(tmp_path: Path) -> None:
    sizes = replace(CONFIG, future=0, mask_past=0.0)
    decoder = opened(tiny_mcvd_checkpoint(tmp_path, network=sizes))
    assert decoder.footage.tasks == ("prediction",)
    with pytest.raises(Misfit, match="for prediction, not for past"):
        decoder.admit(TASKS[Task.PAST])


def test_samples_differ_and_repeat(decoder: MCVDDecoder) -> None:
    seqs = decoder.admit(replace(PREDICT, n=2))
    for seq in seqs:
        list(works(decoder, seq))
    first, second = decoder.finish(seqs)
    assert not np.array_equal(first.array, second.array)
    assert np.array_equal(alone(decoder, PREDICT)[1].array, first.array)


def test_known_pixels_are_those_given(decoder: MCVDDecoder) -> None:
    _, made = alone(decoder, EDIT)
    assert EDIT.image is not None
    assert np.array_equal(made.array[~HIDDEN], EDIT.image[~HIDDEN])
    assert not np.array_equal(made.array[HIDDEN], EDIT.image[HIDDEN])


@pytest.mark.parametrize("changes", [{"sampler": "ddim"}, {"sampler": "ddim-clipped"}, {"final_denoise": "official"}])
def test_samplers_differ(decoder: MCVDDecoder, changes: dict[str, str]) -> None:
    plain, other = alone(decoder, PREDICT)[1], alone(decoder, with_sampling(PREDICT, **changes))[1]
    assert not np.array_equal(plain.array, other.array)


def test_previews_show_what_is_done_and_what_may_become(decoder: MCVDDecoder) -> None:
    [seq] = decoder.admit(PREDICT)
    list(works(decoder, seq, steps=2))
    [first] = decoder.preview([decoder.snapshot(seq)])
    assert first.array.shape == (F, SIDE, SIDE, 1) and first.extra["done"] == 0
    list(works(decoder, seq, steps=2))
    [later] = decoder.preview([decoder.snapshot(seq)])
    assert len(later.array) == 5 and later.extra["done"] == F
    list(works(decoder, seq))
    [made] = decoder.finish([seq])
    assert np.array_equal(later.array[:F], made.array[:F])


def test_a_preview_of_the_past_ends_where_the_given_frames_begin(decoder: MCVDDecoder) -> None:
    [seq] = decoder.admit(TASKS[Task.PAST])
    list(works(decoder, seq, steps=4))
    [preview] = decoder.preview([decoder.snapshot(seq)])
    list(works(decoder, seq))
    [made] = decoder.finish([seq])
    assert np.array_equal(preview.array[-F:], made.array[-F:])


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("steps", [0, 8, 10, 16])
def test_a_saved_state_goes_on_elsewhere(place: Path, task: Task, steps: int) -> None:
    here, there = opened(place), opened(place)
    request = with_sampling(TASKS[task], num_inference_steps=10)
    [seq] = here.admit(request)
    list(works(here, seq, steps))
    if not here.at_boundary(seq):
        return
    moved = there.restore(request, 0, here.save(seq))
    assert (moved.step, moved.known, str(moved.plan)) == (seq.step, seq.known, str(seq.plan))
    assert there.save(moved) == here.save(seq)
    for decoder, one in ((here, seq), (there, moved)):
        list(works(decoder, one))
    assert np.array_equal(here.finish([seq])[0].array, there.finish([moved])[0].array)


def test_boundaries_are_not_everywhere(decoder: MCVDDecoder) -> None:
    [seq] = decoder.admit(with_sampling(PREDICT, num_inference_steps=20))
    seen = [decoder.at_boundary(seq) for _ in works(decoder, seq)]
    assert 0 < sum(seen) < len(seen) / 3


@pytest.mark.parametrize("steps", [0, 8])
def test_a_shortened_plan_is_repeated_by_its_steps(decoder: MCVDDecoder, steps: int) -> None:
    request = with_sampling(replace(PREDICT, frames=3 * F), num_inference_steps=10)
    [seq] = decoder.admit(request)
    list(works(decoder, seq, steps))
    decoder.shorten(seq, 12)
    executed = [sampler.steps for sampler in own(seq).samplers]
    assert executed == ([4, 4, 4] if steps == 0 else [10, 5, 5])
    list(works(decoder, seq))
    [made] = decoder.finish([seq])
    again = alone(decoder, with_sampling(request, block_steps=tuple(executed)))[1]
    assert np.array_equal(made.array, again.array)


def test_a_block_that_has_begun_without_a_call_is_shortened_too(decoder: MCVDDecoder) -> None:
    [seq] = decoder.admit(with_sampling(replace(PREDICT, frames=F), num_inference_steps=10))
    list(works(decoder, seq, steps=0))
    decoder.shorten(seq, 4)
    assert sum(kind is Kind.STEP for kind in works(decoder, seq)) == 4 == seq.plan.steps


def test_rows_that_are_not_finite_fail_alone(decoder: MCVDDecoder) -> None:
    good, bad = decoder.admit(replace(PREDICT, n=2))
    for seq in (good, bad):
        list(works(decoder, seq, steps=1))
    block = own(bad).clip.block
    assert block is not None
    own(bad).clip.block = replace(block, x=torch.full_like(block.x, torch.nan))
    work = decoder.next_work(good)
    assert work is not None
    with pytest.raises(PoisonedRows) as found:
        decoder.run(work, [good, bad])
    assert found.value.sequences == [bad] and good.step == 1


def test_memory_does_not_grow_with_blocks(decoder: MCVDDecoder) -> None:
    """What a sequence holds beside its finished frames, which are bytes."""
    [seq] = decoder.admit(with_sampling(replace(PREDICT, frames=200 * F), num_inference_steps=1))
    clip, held = own(seq).clip, []
    for kind in works(decoder, seq):
        if kind is Kind.ENCODE:
            assert clip.block is not None
            held.append(sum(t.nbytes for t in (clip.shown, clip.block.x)) + clip.block.condition.nbytes)
            assert not clip.made
    assert len(held) == 200 and len(set(held)) == 1
    assert sum(block.nbytes for block in own(seq).frames) == 200 * F * SIDE * SIDE


def test_admission_counts_maps_and_samples(place: Path, tmp_path: Path) -> None:
    plain, spade = opened(place), opened(tiny_mcvd_checkpoint(tmp_path, network=replace(CONFIG, spade=True)))
    [seq] = spade.admit(PREDICT)
    list(works(spade, seq, steps=0))
    block = own(seq).clip.block
    assert block is not None
    maps = sum(t.nbytes for each in block.condition.maps for t in each)
    assert spade.memory(PREDICT) - plain.memory(PREDICT) == maps > 0
    assert spade.memory(replace(PREDICT, n=3)) - spade.memory(PREDICT) > 2 * maps


def test_the_card_says_what_can_be_asked(place: Path, tmp_path: Path) -> None:
    [entry] = Catalogue.scan([place]).entries.values()
    spec = entry.spec
    assert spec.modality == "video" and spec.size == (SIDE, SIDE) and spec.footage is not None
    assert spec.footage.tasks == ("prediction", "interpolation", "past", "unconditional")
    assert entry.family.understand(spec, "whatever").condition is None
    card = read_config(place)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text(card.model_copy(update={"decoding": {"block_steps": [3]}}).model_dump_json())
    with pytest.raises(CheckpointError, match=r"block_steps"):
        entry.family.spec("broken", broken, read_config(broken))
