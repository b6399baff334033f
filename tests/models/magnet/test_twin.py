"""The twin: its cache against one causal pass, its judgement, and sounds begun side by side."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.decoding.failure import NotFinite
from models.decoding.noise import CounterNoise
from models.layers.linear import pack_linears
from models.magnet.config import MAGNeTConfig
from models.magnet.delayed import delayed, told
from models.magnet.network import MAGNeT
from models.magnet.pack import Branch
from models.magnet.twin import Beginning, Manner, Reading, Twin
from tests.models.magnet.build import random_network

CONFIG = replace(MAGNeTConfig.preset("tiny"), seconds=2.5)  # 20 tokens
PLAIN = Manner(guidance=1.0, temperature=1.0, top_k=0, top_p=1.0)


@pytest.fixture(scope="module")
def twin() -> Twin:
    network = random_network(CONFIG)
    pack_linears(network)
    return Twin(network, CounterNoise())


def text_of(network: MAGNeT, seed: int = 1) -> Tensor:
    return network.memory(
        network.condition(torch.randn(5, CONFIG.text_dim, generator=torch.Generator().manual_seed(seed)))
    )


def begin(twin: Twin, key: int, frames: int = 9, manner: Manner = PLAIN, text: Tensor | None = None) -> Beginning:
    return Beginning(key, torch.full((CONFIG.codebooks, frames), CONFIG.mask_id), text, manner)


def run(twin: Twin, sound: Beginning) -> Tensor:
    while not sound.done:
        twin.step([sound])
    return sound.ids


@torch.inference_mode()
def test_rows_do_not_know_what_comes(twin: Twin) -> None:
    ids = torch.randint(CONFIG.codebook_size, (CONFIG.codebooks, 12))
    text = text_of(twin.network)

    def features(rows: Tensor) -> Tensor:
        return twin._features([Branch(rows, 0, torch.arange(rows.shape[1]), text, causal=True)])[0]

    rows = delayed(ids, CONFIG.mask_id)
    whole = features(rows)
    torch.testing.assert_close(features(rows[:, :7]), whole[:7], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_the_cache_is_one_causal_pass(twin: Twin) -> None:
    text = text_of(twin.network)
    seen: list[Tensor] = []
    plain = twin._features
    twin._features = lambda branches: [seen.append(row) or row for row in plain(branches)]  # type: ignore[method-assign,func-returns-value]
    try:
        ids = run(twin, begin(twin, 3, text=text))
    finally:
        twin._features = plain  # type: ignore[method-assign]
    rows = delayed(ids, CONFIG.mask_id)
    [whole] = plain([Branch(rows, 0, torch.arange(rows.shape[1]), text, causal=True)])
    torch.testing.assert_close(torch.cat(seen), whole, atol=1e-5, rtol=1e-5)


def test_it_finds_likely_what_it_would_have_said(twin: Twin) -> None:
    text = text_of(twin.network)
    ids = run(twin, begin(twin, 0, manner=replace(PLAIN, temperature=0.0), text=text))
    last = CONFIG.codebooks - 1  # read with all before it known, as it was made
    [sure] = twin.read([Reading(ids, last, text)])
    for other in range(CONFIG.codebook_size):
        changed = ids.clone()
        changed[last, -1] = other  # the last row of all tells it, and none shows it
        assert float(twin.read([Reading(changed, last, text)])[0][-1]) <= float(sure[-1]) + 1e-6


@torch.inference_mode()
@pytest.mark.parametrize("codebook", range(CONFIG.codebooks))
def test_every_token_is_judged_by_the_row_that_tells_it(twin: Twin, codebook: int) -> None:
    ids, text = torch.randint(CONFIG.codebook_size, (CONFIG.codebooks, 7)), text_of(twin.network)
    known = ids.clone()
    known[codebook + 1 :] = CONFIG.mask_id
    rows = delayed(known, CONFIG.mask_id)
    [found] = twin.read([Reading(ids, codebook, text)])
    seen = set()
    for row in range(rows.shape[1]):
        before = rows[:, : row + 1]
        [features] = twin._features([Branch(before, 0, torch.tensor([row]), text, causal=True)])
        for told_codebook, frame in told(row, *ids.shape):
            if told_codebook == codebook:
                shares = twin.network.logits(features, codebook)[0].softmax(dim=-1)
                torch.testing.assert_close(found[frame], shares[ids[codebook, frame]], atol=1e-6, rtol=1e-4)
                seen.add(frame)
    assert seen == set(range(7))


def test_codebooks_behind_the_one_that_is_read_do_not_count(twin: Twin) -> None:
    ids = torch.randint(CONFIG.codebook_size, (CONFIG.codebooks, 12))
    other = ids.clone()
    other[2:] = CONFIG.mask_id
    [a], [b] = twin.read([Reading(ids, 1, None)]), twin.read([Reading(other, 1, None)])
    assert torch.equal(a, b) and a.shape == (12,) and bool(((a > 0) & (a < 1)).all())


@pytest.mark.parametrize("threads", [1, 2])
def test_sounds_in_any_company_are_those_of_lone_ones(twin: Twin, threads: int) -> None:
    torch.set_num_threads(threads)
    guided = Manner(guidance=3.0, temperature=0.8, top_k=5, top_p=0.9)
    text = text_of(twin.network)

    def sounds() -> list[Beginning]:
        return [
            begin(twin, 1, 9, PLAIN, text),
            begin(twin, 2, 5, guided, text),
            begin(twin, 3, 9, guided, None),
            begin(twin, 4, 1, replace(PLAIN, temperature=0.0), text),
        ]

    lone = [run(twin, sound) for sound in sounds()]
    together = sounds()
    twin.step(together[:2])  # the others come later
    while running := [sound for sound in together if not sound.done]:
        twin.step(running)
    for sound, wanted in zip(together, lone, strict=True):
        assert torch.equal(sound.ids, wanted)
        assert (sound.ids < CONFIG.codebook_size).all()
    assert not torch.equal(lone[0][:, :5], lone[1])


def test_numbers_that_are_none_change_nothing(twin: Twin) -> None:
    sound = begin(twin, 0, text=text_of(twin.network) * torch.nan)
    good = begin(twin, 1)
    with pytest.raises(NotFinite) as caught:
        twin.step([good, sound])
    assert caught.value.rows == [1] and good.row == 0
    assert torch.equal(run(twin, good), run(twin, begin(twin, 1))), "its neighbour goes on"
    assert sound.row == 0 and (sound.ids == CONFIG.mask_id).all()
