"""Counter-based noise: the published Philox, uniforms, and that who else draws does not matter."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.decoding.noise import CounterNoise, Purpose, Rows, philox, sequence_key, uniform

MASK = 0xFFFFFFFF


def reference(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Philox4x32-10 as printed (Salmon et al., SC 2011), on Python's integers."""
    (x0, x1, x2, x3), (k0, k1) = counter, key
    for _ in range(10):
        a, b = x0 * 0xD2511F53, x2 * 0xCD9E8D57
        x0, x1, x2, x3 = b >> 32 ^ x1 ^ k0, b & MASK, a >> 32 ^ x3 ^ k1, a & MASK
        k0, k1 = k0 + 0x9E3779B9 & MASK, k1 + 0xBB67AE85 & MASK
    return x0, x1, x2, x3


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((MASK,) * 4, (MASK, MASK), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_the_reference_gives_the_published_words(
    counter: tuple[int, int, int, int], key: tuple[int, int], words: tuple[int, int, int, int]
) -> None:
    assert reference(counter, key) == words


def signed(key: int) -> int:
    return key - (1 << 64) if key >> 63 else key


words32 = st.integers(0, MASK)


@given(st.lists(st.tuples(words32, words32, words32, words32), min_size=1, max_size=5), words32)
def test_ours_gives_the_words_of_the_reference(rows: list[tuple[int, int, int, int]], c2: int) -> None:
    key = torch.tensor([signed(k1 << 32 | k0) for k0, k1, _, _ in rows])
    c0, c1 = (torch.tensor([row[at] for row in rows]) for at in (2, 3))
    wanted = [reference((row[2], row[3], c2, 0), (row[0], row[1])) for row in rows]
    assert philox(key, c0, c1, c2).T.tolist() == list(map(list, wanted))


def test_the_first_published_vector() -> None:
    zero = torch.zeros(1, dtype=torch.long)
    assert philox(zero, zero, zero)[:, 0].tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def rows_of(count: int, step: int = 0) -> Rows:
    key = torch.tensor([sequence_key(3, sample) for sample in range(count)])
    return Rows(torch.arange(count), key, torch.full((count,), step), torch.arange(count) * 7)


def test_uniforms_are_spread_and_never_touch_the_ends() -> None:
    count = 1 << 14
    key = torch.full((count,), sequence_key(1, 0))
    u = uniform(key, torch.zeros(count, dtype=torch.long), Purpose.TOKEN, torch.arange(count))
    assert u.dtype == torch.float32 and u.min() > 0.0 and u.max() < 1.0
    bins = torch.histc(u, 16, 0.0, 1.0) / count * 16
    assert (bins - 1.0).abs().max() < 0.15  # about 5 sigma
    assert abs(u.mean() - 0.5) < 0.015 and abs(u.var() - 1 / 12) < 0.003


def test_extreme_words_stay_inside() -> None:
    from models.decoding.noise import to_unit

    ends = to_unit(torch.tensor([0, MASK]))
    assert ends[0] > 0.0 and ends[1] < 1.0


def test_purposes_steps_positions_samples_and_seeds_are_independent() -> None:
    def draw(seed: int = 0, sample: int = 0, step: int = 0, purpose: Purpose = Purpose.TOKEN, start: int = 0) -> Tensor:
        key = torch.full((512,), sequence_key(seed, sample))
        return uniform(key, torch.full((512,), step), purpose, torch.arange(start, start + 512))

    others = [
        draw(seed=1),
        draw(sample=1),
        draw(step=1),
        draw(start=512),
        *(draw(purpose=p) for p in list(Purpose)[1:]),
    ]
    for other in others:
        assert abs(torch.corrcoef(torch.stack([draw(), other]))[0, 1]) < 0.2  # 4.5 sigma


@given(st.permutations(range(8)), st.integers(1, 8))
def test_neighbours_do_not_change_a_draw(order: list[int], count: int) -> None:
    rows, noise = rows_of(8, step=2), CounterNoise()
    logits = torch.linspace(-2, 2, 8 * 5).view(5, 8).T.contiguous()
    alone = noise.categorical(logits, rows, Purpose.SCORE), noise.gumbel(rows)
    chosen = torch.tensor(order[:count])
    some = Rows(rows.sequence[chosen], rows.key[chosen], rows.step[chosen], rows.position[chosen])
    assert torch.equal(noise.categorical(logits[chosen], some, Purpose.SCORE), alone[0][chosen])
    assert torch.equal(noise.gumbel(some), alone[1][chosen])


def test_draws_follow_the_probabilities() -> None:
    count = 1 << 13
    rows = rows_of(count)
    p = torch.tensor([0.5, 0.3, 0.2, 0.0])
    drawn = CounterNoise().categorical(p.log().expand(count, -1), rows, Purpose.TOKEN)
    shares = torch.bincount(drawn, minlength=4) / count
    assert (shares - p).abs().max() < 0.03
    assert shares[3] == 0.0, "what has no probability is never drawn"


def test_gumbel_noise_has_its_mean_and_variance() -> None:
    noise = CounterNoise().gumbel(rows_of(1 << 14))
    assert noise.isfinite().all()
    assert abs(noise.mean() - 0.5772) < 0.05 and abs(noise.var() - torch.pi**2 / 6) < 0.1


def test_keys_differ_by_seed_and_sample() -> None:
    keys = {sequence_key(seed, sample) for seed in range(50) for sample in range(50)}
    assert len(keys) == 2500
    assert all(-(1 << 63) <= key < 1 << 63 for key in keys)
