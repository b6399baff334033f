"""The recorded generations, step by step: alone, together, and any run beside any other at another codebook."""

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random

import pytest
import torch
from torch import Tensor

from models.architecture import parse_architecture
from models.checkpoint import read_config, tokenizer_directory
from models.decoder import Condition, GenerationRequest, Kind
from models.magnet.config import MAGNeTConfig
from models.magnet.decoder import MAGNeTDecoder
from models.magnet.family import MAGNeTFamily
from models.magnet.guidance import scales
from models.magnet.importer import import_magnet
from models.magnet.network import MAGNeT
from models.magnet.sample import Sample, Turn
from models.magnet.schedule import COOLEST, masked_counts, masked_shares, temperatures
from models.magnet.stepper import Stepper
from models.spec import Sampling
from models.tokenizers.codecs import load_codec
from models.weights import load_module
from tests.models.magnet.build import RUNS, recorded, write_bundle
from tests.models.magnet.replay import RecordedNoise, decoding_of, samples_of

close = partial(torch.testing.assert_close, atol=1e-4, rtol=0)
COLD = 5e-4
"""For scores at the least temperature, which magnifies errors of logits a hundredfold: float64 is 1e-4 off, too."""


@dataclass
class Watch:
    """Compares every step of the samples of recorded runs with what was recorded."""

    rows: dict[int, tuple[dict[str, Tensor], int]] = field(default_factory=dict)  # key -> recorded tensors, row
    asked: dict[int, Turn] = field(default_factory=dict)
    steps: int = 0

    def add(self, name: str, samples: list[Sample]) -> list[Sample]:
        io = recorded("lm", f"gen.{name}.")
        self.rows |= {sample.key: (io, row) for row, sample in enumerate(samples)}
        return samples

    def probe(self, turn: Turn, logits: Tensor) -> None:
        (io, row), step = self.rows[turn.sample.key], turn.sample.step
        assert turn.codebook == io["stage"][step]
        assert torch.equal(turn.ids, io["seq_in"][step, row].long())
        close(torch.tensor(turn.scale), io["clsfg_coef"][step].float())
        if "guided_logits" in io:
            torch.testing.assert_close(logits, io["guided_logits"][step, row, turn.asked], atol=2e-4, rtol=0)
        self.asked[turn.sample.key] = turn

    def after(self, stepper: Stepper, samples: list[Sample]) -> None:
        """One step, and what it left."""
        stepper.step(samples)
        for sample in samples:
            (io, row), step, turn = self.rows[sample.key], sample.step - 1, self.asked[sample.key]
            assert torch.equal(sample.ids, io["seq_out"][step, row].long())
            close(sample.scores, io["scores_out"][step, row], atol=COLD if turn.temperature <= COOLEST else 1e-4)
            hidden = turn.hidden.nonzero().squeeze(-1)
            assert torch.equal(sample.ids[turn.codebook, hidden], io["sampled"][step, row, hidden].long())
            self.steps += 1


def stepper_of(network: MAGNeT, watch: Watch) -> Stepper:
    stepper = Stepper(network, RecordedNoise.of(RUNS))
    stepper.probe = watch.probe
    return stepper


def finish(stepper: Stepper, watch: Watch, samples: list[Sample]) -> None:
    while running := [sample for sample in samples if not sample.done]:
        watch.after(stepper, running)
    for sample in samples:
        io, row = watch.rows[sample.key]
        assert torch.equal(sample.ids, io["tokens"][row].long())


@pytest.mark.parametrize("name", RUNS)
def test_schedules(name: str) -> None:
    io, decoding = recorded("lm", f"gen.{name}."), decoding_of(RUNS[name])
    prompt, span = RUNS[name]["prompt"], RUNS[name]["span_len"]
    length = io["tokens"].shape[2]
    units = length - prompt if RUNS[name]["span_arrangement"] == "stride1" else length // span - prompt // span
    shares = [m for steps in decoding.steps for m in masked_shares(steps)]
    counts = [n for steps in decoding.steps for n in masked_counts(steps, units)]
    coefficients = [g for steps in decoding.steps for g in scales(masked_shares(steps), decoding.guidance)]
    heats = [t for steps in decoding.steps for t in temperatures(steps, decoding.temperature, decoding.anneal)]
    assert shares == io["mask_p"].tolist()
    assert counts == io["num_masked"].tolist()
    assert coefficients == pytest.approx(io["clsfg_coef"].tolist(), abs=1e-12)
    assert heats == pytest.approx(io["t"].clamp(min=0.01).tolist(), abs=1e-12)


@pytest.mark.parametrize("name", RUNS)
def test_alone(network: MAGNeT, name: str) -> None:
    watch = Watch()
    stepper = stepper_of(network, watch)
    for sample in watch.add(name, samples_of(network, name)):
        finish(stepper, watch, [sample])
    assert watch.steps == RUNS[name]["steps"] * len(watch.rows)


@pytest.mark.parametrize("name", RUNS)
def test_together(network: MAGNeT, name: str) -> None:
    watch = Watch()
    finish(stepper_of(network, watch), watch, watch.add(name, samples_of(network, name)))


@pytest.mark.parametrize("seed", range(3))
def test_all_runs_beside_each_other(network: MAGNeT, seed: int) -> None:
    """Random ones of them make a step together, so codebooks, lengths, steps and parameters mix."""
    rng, watch = Random(seed), Watch()
    stepper = stepper_of(network, watch)
    samples = [sample for name in RUNS for sample in watch.add(name, samples_of(network, name))]
    for _ in range(20):
        running = [sample for sample in samples if not sample.done]
        watch.after(stepper, rng.sample(running, rng.randint(1, len(running))))
    finish(stepper, watch, samples)


@dataclass(frozen=True)
class Recorded:
    """The states of the recorded texts, by their row."""

    states: Tensor

    def encode(self, condition: Condition) -> Tensor:
        assert isinstance(condition, str)
        return self.states[int(condition)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("bundle")
    return import_magnet(write_bundle(place / "official"), place / "imported").directory


@pytest.mark.parametrize("name", [name for name, run in RUNS.items() if run["use_sampling"] and not run["prompt"]])
def test_as_it_is_served(bundle: Path, name: str) -> None:
    """What was recorded comes out of the decoder of an imported bundle, too, where a text was as long as its batch."""
    io, cond, run = recorded("lm", f"gen.{name}."), recorded("lm", "cond."), RUNS[name]
    card = read_config(bundle)
    spec = MAGNeTFamily().spec("official", bundle, card)
    sizes = replace(MAGNeTConfig.from_dict(card.architecture), span=run["span_len"])
    network, codec = load_module(MAGNeT(sizes), bundle), load_codec(tokenizer_directory(bundle, card))
    text = Recorded(cond["t5_last_hidden_state"])
    decoder = MAGNeTDecoder(spec, network, codec, text, noise=RecordedNoise.of([name]))
    sampling = parse_architecture(Sampling, decoding_of(run).defaults, "decoding")
    whole = [row for row in range(len(io["tokens"])) if cond["attention_mask"][row].all()]
    assert whole
    for row in whole:
        request = GenerationRequest("generate", str(row), sampling, seed=list(RUNS).index(name), n=row + 1)
        seq = decoder.admit(request)[row]
        while (work := decoder.next_work(seq)) and work.kind is not Kind.FINISH:
            decoder.run(work, [seq])
        [made] = decoder.finish([seq])
        wanted = io["tokens"][row].long()
        assert torch.equal(torch.from_numpy(made.tokens).long(), wanted)
        heard = load_codec(tokenizer_directory(bundle, card)).decode(wanted.unsqueeze(0))[0]
        close(torch.from_numpy(made.array.T.copy()), heard)
