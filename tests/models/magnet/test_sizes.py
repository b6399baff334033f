"""Any width, depth, span, context and way to decode: packed agrees with one plain sequence at a time."""

from dataclasses import dataclass, field

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.magnet.config import MAGNeTConfig
from models.magnet.decoding import Decoding
from models.magnet.importer import official_key
from models.magnet.network import MAGNeT
from models.magnet.sample import Sample, Turn
from models.magnet.spans import searched
from models.magnet.stepper import Stepper
from tests.models.magnet import naive
from tests.models.magnet.build import random_network
from tests.models.magnet.naive import Naive
from tests.models.magnet.sizes import configs, decodings


def official(network: MAGNeT) -> dict[str, Tensor]:
    """As a file would hold them."""
    found = {official_key(key): value for key, value in network.state_dict().items()}
    fused = {key.removesuffix("[q]") for key in found if key.endswith("[q]")}
    whole = {key: torch.cat([found.pop(f"{key}[q]"), found.pop(f"{key}[kv]")]) for key in fused}
    return found | whole


@dataclass(frozen=True)
class Request:
    decoding: Decoding
    text: int  # tokens of it
    length: int
    known: list[bool]


@dataclass
class Watch:
    """Follows the stepper's steps with the plain form."""

    naive: Naive
    states: dict[int, Tensor | None] = field(default_factory=dict)
    turns: dict[int, tuple[Turn, Tensor]] = field(default_factory=dict)
    seen: int = 0

    def probe(self, turn: Turn, logits: Tensor) -> None:
        sample = turn.sample
        decoding, known = sample.decoding, sample.known.tolist()
        codebook, step = decoding.stage(sample.step)
        steps = decoding.steps[codebook]
        scores = sample.scores.tolist() if step else None
        chosen = naive.masked(decoding, self.naive.config.span, known, scores, step, steps)
        ids = sample.ids.clone()
        for at in chosen:
            ids[codebook, at] = ids[codebook, at] if known[at] else self.naive.config.mask_id
        assert torch.equal(turn.ids, ids)
        wanted = self.guided(turn, naive.share_of(step, steps))[turn.asked]
        torch.testing.assert_close(logits, wanted, atol=1e-3, rtol=1e-3)
        self.turns[sample.key] = turn, logits

    def guided(self, turn: Turn, share: float) -> Tensor:
        states = self.states[turn.sample.key]
        first, last = turn.sample.decoding.guidance
        scale = share * first + (1.0 - share) * last
        free = self.naive.forward(turn.ids, turn.codebook, None)
        return free + scale * (self.naive.forward(turn.ids, turn.codebook, states) - free)

    def after(self, sample: Sample) -> None:
        (turn, logits), decoding = self.turns[sample.key], sample.decoding
        codebook, step = decoding.stage(sample.step - 1)
        steps = decoding.steps[codebook]
        heat = decoding.temperature * ((steps - 1 - step) / steps if decoding.anneal else 1.0)
        changed = (sample.ids != turn.ids).nonzero().tolist()
        assert all(at == [codebook, at[1]] and turn.hidden[at[1]] for at in changed)
        probability = [1.0] * len(turn.hidden)
        for row, at in enumerate(turn.asked.tolist()):
            drawn, ranked = naive.shares(decoding, logits[row], max(heat, 0.01))
            if turn.hidden[at]:
                token = int(sample.ids[codebook, at])
                assert drawn[token] > 0.0
                probability[at] = float(ranked[token])
        asked = set(turn.asked.tolist())
        if asked <= set(turn.hidden.nonzero().squeeze(-1).tolist()):  # else some draws are not known
            wanted = naive.scored(decoding, self.naive.config.span, probability, asked)
            torch.testing.assert_close(sample.scores, torch.tensor(wanted), atol=1e-3, rtol=1e-3)
        self.seen += 1


@dataclass
class Case:
    config: MAGNeTConfig
    requests: list[Request] = field(default_factory=list)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    config = draw(configs())
    requests = []
    for _ in range(draw(st.integers(1, 3))):
        length = draw(st.integers(config.span, config.length))
        known = draw(st.lists(st.booleans(), min_size=length, max_size=length))
        blank = draw(st.booleans()) or all(known[: length - length % config.span])
        requests.append(
            Request(draw(decodings(config)), draw(st.integers(0, 4)), length, [not blank and k for k in known])
        )
    return Case(config, requests)


@settings(max_examples=60)
@given(cases(), st.integers(0, 4))
def test_any_mix_agrees_with_the_plain_form(case: Case, ahead: int) -> None:
    config = case.config
    network = random_network(config, packed=False)
    watch = Watch(Naive(config, official(network)))
    stepper = Stepper(network)
    stepper.probe = watch.probe
    samples = []
    torch.manual_seed(0)
    for key, request in enumerate(case.requests):
        states = torch.randn(request.text, config.text_dim) if request.text else None
        watch.states[key] = states
        text = None if states is None else network.memory(network.condition(states))
        prompt = torch.randint(config.codebook_size, (config.codebooks, request.length))
        known = torch.tensor(request.known)
        samples.append(Sample.begin(config, request.decoding, key, text, prompt, known, request.length))
        assert torch.equal(samples[-1].ids != config.mask_id, samples[-1].known.expand_as(samples[-1].ids))

    def step(running: list[Sample]) -> None:
        stepper.step(running)
        for sample in running:
            watch.after(sample)

    for _ in range(min(ahead, samples[0].decoding.total)):
        step(samples[:1])
    while running := [sample for sample in samples if not sample.done]:
        step(running)
    assert watch.seen == sum(sample.decoding.total for sample in samples)
    assert all((sample.ids < config.codebook_size).all() for sample in samples)


@given(st.integers(1, 5), st.lists(st.floats(0.0, 9.0, width=32), min_size=5, max_size=40), st.data())
def test_the_search_for_windows(span: int, scores: list[float], data: st.DataObject) -> None:
    count = data.draw(st.integers(span, len(scores)))
    wanted = naive.united(scores, span, count)
    order = naive.best([sum(scores[at : at + span]) for at in range(len(scores) - span + 1)])
    sizes = [len({at + n for at in order[:windows] for n in range(span)}) for windows in range(len(order) + 1)]
    assert sizes[searched(sizes, count, span)] == len(wanted)
