"""K/V slots: lending, growth, and attention as if the kept and the fresh rows had been concatenated."""

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.decoding.slots import KVSlots, PackedAttention

BLOCKS, LENGTH, HEADS, WIDTH = 2, 9, 2, 4  # LENGTH rows: the class row and 8 tokens


def make_slots() -> KVSlots:
    return KVSlots(BLOCKS, LENGTH, HEADS, WIDTH, "cpu", torch.float32)


def random_rows(rows: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """q, k, v: [R, H, E]"""
    noise = torch.Generator().manual_seed(seed)
    q, k, v = torch.randn(3, rows, HEADS, WIDTH, generator=noise).unbind()
    return q, k, v


@given(st.lists(st.integers(1, 5), max_size=12), st.randoms(use_true_random=False))
def test_no_slot_is_lent_twice(counts: list[int], rng: "object") -> None:
    slots, held = make_slots(), []
    for count in counts:
        held.append(slots.take(count))
        if rng.random() < 0.4:  # type: ignore[attr-defined]
            slots.give(held.pop(rng.randrange(len(held))))  # type: ignore[attr-defined]
        lent = [slot for group in held for slot in group]
        assert len(set(lent)) == len(lent) == slots.in_use
        assert all(0 <= slot < slots.capacity for slot in lent)
    for group in held:
        slots.give(group)
    assert slots.in_use == 0


def test_growth_keeps_what_the_slots_hold() -> None:
    slots = make_slots()
    [slot] = slots.take(1)
    own = slice(slot * LENGTH, (slot + 1) * LENGTH)
    slots.store[:, :, own] = torch.arange(slots.store[:, :, own].numel()).view_as(slots.store[:, :, own]).float()
    before, capacity = slots.store[:, :, own].clone(), slots.capacity
    slots.take(capacity)
    assert slots.capacity > capacity
    assert torch.equal(slots.store[:, :, own], before)
    assert slots.slot_bytes == before.numel() * 4


@settings(max_examples=30)
@given(st.permutations(range(1, LENGTH)), st.integers(1, LENGTH - 1), st.integers(0, 99))
def test_a_reuse_step_is_the_official_concatenation(order: list[int], count: int, seed: int) -> None:
    """ReCAP concatenates the keys of the rows it keeps with those of the class row and the targets."""
    slots = make_slots()
    [other, slot] = slots.take(2)
    full_q, full_k, full_v = random_rows(LENGTH, seed)
    keep = torch.tensor([0]), torch.tensor([slot])
    attended = PackedAttention(slots, 1, keep, None, [])(1, full_q, full_k, full_v)
    torch.testing.assert_close(attended, attention(full_q, full_k, full_v))

    fresh = [0, *order[:count]]
    q, k, v = random_rows(len(fresh), seed + 1000)
    write = torch.tensor([slot * LENGTH + row for row in fresh])
    got = PackedAttention(slots, 0, None, write, [(len(fresh), slot)])(1, q, k, v)
    kept = [row for row in range(LENGTH) if row not in fresh]
    wanted = attention(q, torch.cat([full_k[kept], k]), torch.cat([full_v[kept], v]))
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)
    untouched = slots.store[:, :, other * LENGTH : (other + 1) * LENGTH]
    assert not untouched.any() and not slots.store[0].any(), "other slots and blocks stay"


def test_full_and_reuse_branches_share_a_batch() -> None:
    slots = make_slots()
    [one, two] = slots.take(2)
    q, k, v = random_rows(LENGTH + 3 + 5, 7)
    write = torch.tensor([one * LENGTH + row for row in (0, 2, 4)])
    slots.store[0, :, two * LENGTH : (two + 1) * LENGTH] = 9.0  # a slot that nobody of the batch reads
    out = PackedAttention(slots, 1, None, write, [(3, one)])(0, q, k, v)
    torch.testing.assert_close(out[:LENGTH], attention(q[:LENGTH], k[:LENGTH], v[:LENGTH]))
    held = slots.store[0, :, one * LENGTH : (one + 1) * LENGTH]
    torch.testing.assert_close(out[LENGTH : LENGTH + 3], attention(q[LENGTH : LENGTH + 3], held[0], held[1]))
    assert len(out) == len(q) and not out[LENGTH + 3 :].any(), "padding rows stay zero"


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """[R, H, E] from softmax(q k / sqrt(E)) v, written out."""
    scores = torch.einsum("qhe,khe->hqk", q, k) / WIDTH**0.5
    return torch.einsum("hqk,khe->qhe", F.softmax(scores, dim=-1), v)
