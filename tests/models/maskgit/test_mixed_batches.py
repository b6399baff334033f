"""Neighbours do not exist: logits and tokens of a sequence are the same alone and in any mix of steps."""

import random
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from models.decoder import GenerationRequest, Kind, PoisonedRows, Sequence
from models.decoding.plan import Plan
from models.maskgit.decoder import MaskGITDecoder
from models.spec import Sampling
from tests.models.maskgit.build import tiny_decoder


@dataclass
class Log:
    """The logits that every (request, sample, step) saw."""

    seen: dict[tuple[int, int, int], Tensor] = field(default_factory=dict)

    def __call__(self, seqs: list[Sequence], rows: object, logits: Tensor) -> None:
        for at, seq in enumerate(seqs):
            mine = rows.sequence == at  # type: ignore[attr-defined]
            self.seen[(seq.request.seed, seq.sample, seq.step)] = logits[mine].clone()


def random_request(rng: random.Random, seed: int, length: int) -> GenerationRequest:
    sampling = Sampling(
        num_inference_steps=rng.randint(2, length),
        guidance_scale=rng.choice([1.0, 1.0, 2.0, 3.5]),
        guidance_schedule=rng.choice(["constant", "linear"]),
        temperature=rng.choice([0.7, 1.0, 1.3]),
        choice_temperature=rng.choice([0.0, 1.0, 4.5]),
        top_k=rng.choice([0, 0, 5]),
        top_p=rng.choice([1.0, 1.0, 0.8]),
        schedule=rng.choice(["cosine", "linear", "arccos", "power:2.5", "list:.9,.5"]),
        draw=rng.choice(["joint", "separate"]),
        reuse=rng.choice([0, 0, 1, 2]),
        full_first=rng.choice([0, 2]),
    )
    n, label = rng.choice([1, 1, 2]), rng.randrange(4)
    return GenerationRequest("generate", label, sampling, seed=seed, n=n)


def alone(decoder: MaskGITDecoder, request: GenerationRequest) -> list[Tensor]:
    grids = []
    for seq in decoder.admit(request):
        while (work := decoder.next_work(seq)) and work.kind is Kind.STEP:
            decoder.run(work, [seq])
        grids.append(decoder.pool.ids[seq.slot].clone())  # type: ignore[attr-defined]
        decoder.release(seq)
    return grids


@pytest.mark.parametrize("threads", [1, 2])
def test_logits_are_bitwise_those_of_a_lone_sequence(threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        decoder = tiny_decoder(grid=(8, 8), dim=192, heads=6, depth=4, codebook_size=512)
        rng = random.Random(5)
        requests = [random_request(rng, seed, 64) for seed in range(12)]
        lone, mixed = Log(), Log()
        decoder.probe = lone
        wanted = {r.seed: alone(decoder, r) for r in requests}
        decoder.probe = mixed
        waiting, running = list(requests), []
        shared = both = 0
        got: dict[int, list[Tensor]] = {r.seed: [] for r in requests}
        while waiting or running:
            for _ in range(rng.randint(0, 3)):
                if waiting:
                    running += decoder.admit(waiting.pop())
            batch = rng.sample(running, rng.randint(1, len(running))) if running else []
            if not batch:
                continue
            shared += len(batch) > 1
            both += len({seq.full_next for seq in batch}) > 1  # type: ignore[attr-defined]
            decoder.run(decoder.next_work(batch[0]), batch)  # type: ignore[arg-type]
            for seq in list(running):
                if decoder.next_work(seq).kind is Kind.FINISH:  # type: ignore[union-attr]
                    running.remove(seq)
                    got[seq.request.seed].append(decoder.pool.ids[seq.slot].clone())  # type: ignore[attr-defined]
                    decoder.release(seq)
        assert shared > 25 and both > 15
        assert lone.seen.keys() == mixed.seen.keys()
        wrong = [key for key, logits in lone.seen.items() if not torch.equal(logits, mixed.seen[key])]
        assert not wrong, f"{len(wrong)} of {len(lone.seen)} steps differ, first {wrong[0]}"
        for seed, grids in wanted.items():
            assert {tuple(g.tolist()) for g in grids} == {tuple(g.tolist()) for g in got[seed]}
        assert decoder.slots.in_use == 0
    finally:
        torch.set_num_threads(before)


def test_more_samples_begin_with_the_same() -> None:
    decoder = tiny_decoder()
    one = GenerationRequest("generate", 1, Sampling(num_inference_steps=4), seed=9)
    four = GenerationRequest("generate", 1, Sampling(num_inference_steps=4), seed=9, n=4)
    assert torch.equal(alone(decoder, one)[0], alone(decoder, four)[0])


def test_a_sent_back_plan_reproduces_a_shortened_run() -> None:
    decoder = tiny_decoder()
    sampling = Sampling(num_inference_steps=12, reuse=1, choice_temperature=3.0, anneal=True)
    [seq] = decoder.admit(GenerationRequest("generate", 2, sampling, seed=3))
    for _ in range(4):
        decoder.run(decoder.next_work(seq), [seq])  # type: ignore[arg-type]
    decoder.shorten(seq, 3)
    assert seq.plan.steps <= 4 + 3 and seq.plan.total == 16
    while (work := decoder.next_work(seq)).kind is Kind.STEP:  # type: ignore[union-attr]
        decoder.run(work, [seq])  # type: ignore[arg-type]
    shortened = decoder.pool.ids[seq.slot].clone()  # type: ignore[attr-defined]
    again = GenerationRequest("generate", 2, sampling, seed=3, plan=Plan.parse(str(seq.plan)))
    assert torch.equal(alone(decoder, again)[0], shortened)


def test_a_saved_state_goes_on_with_the_same_tokens() -> None:
    decoder = tiny_decoder()
    request = GenerationRequest("generate", 2, Sampling(num_inference_steps=9, reuse=2), seed=4)
    wanted = alone(decoder, request)[0]
    [seq] = decoder.admit(request)
    decoder.run(decoder.next_work(seq), [seq])  # type: ignore[arg-type]
    while not decoder.at_boundary(seq):
        decoder.run(decoder.next_work(seq), [seq])  # type: ignore[arg-type]
    state = decoder.save(seq)
    assert len(state) < 1024
    elsewhere = tiny_decoder()
    moved = elsewhere.restore(request, 0, state)
    while (work := elsewhere.next_work(moved)).kind is Kind.STEP:  # type: ignore[union-attr]
        elsewhere.run(work, [moved])  # type: ignore[arg-type]
    assert torch.equal(elsewhere.pool.ids[moved.slot], wanted)  # type: ignore[attr-defined]


def test_a_poisoned_sequence_is_named_and_nothing_is_committed() -> None:
    decoder = tiny_decoder()
    requests = [GenerationRequest("generate", 0, Sampling(reuse=1), seed=s) for s in range(4)]
    seqs = [seq for r in requests for seq in decoder.admit(r)]
    decoder.pool.temperature[seqs[2].slot] = torch.nan  # type: ignore[attr-defined]
    decoder.network.context_embed.word_embeddings.weight[3] = torch.nan
    decoder.pool.condition[seqs[2].slot] = torch.nan  # type: ignore[attr-defined]
    before = decoder.pool.ids.clone()
    with pytest.raises(PoisonedRows) as caught:
        decoder.run(decoder.next_work(seqs[0]), seqs)  # type: ignore[arg-type]
    assert caught.value.sequences == [seqs[2]]
    assert torch.equal(decoder.pool.ids, before) and [seq.step for seq in seqs] == [0] * 4
    assert decoder.slots.in_use == 0
