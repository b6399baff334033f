"""A decoder with a twin: it begins sounds, judges spans, and belongs to its generator."""

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import torch

from models.catalogue import Catalogue
from models.checkpoint import checkpoint_hash
from models.decoder import GenerationRequest, Kind, Misfit, PoisonedRows
from models.magnet.decoder import MAGNeTDecoder
from models.magnet.sequence import MAGNeTSequence
from tests.models.magnet.lives import EDIT, FINE, admit, advance, run, with_sampling
from tests.tiny import tiny_magnet_checkpoint


@pytest.fixture(scope="module")
def paired(tmp_path_factory: pytest.TempPathFactory) -> MAGNeTDecoder:
    """With a twin."""
    [entry] = Catalogue.scan([tiny_magnet_checkpoint(tmp_path_factory.mktemp("pair"), twin=True)]).entries.values()
    assert {"head_start", "rescoring"} <= entry.spec.parameters
    made = entry.family.load(entry.spec, entry.path, "cpu", "float32")
    assert isinstance(made, MAGNeTDecoder)
    return made


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
