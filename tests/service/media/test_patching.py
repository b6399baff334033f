import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.media.patching import patched, stretches


def bools(text: str) -> np.ndarray:
    return np.array([letter == "x" for letter in text])


def test_stretches() -> None:
    assert stretches(bools("..xx.x")) == [(2, 4), (5, 6)]
    assert stretches(bools("xx")) == [(0, 2)] and stretches(bools("..")) == []


def test_seams_fade_inside_of_what_is_made() -> None:
    original, made = np.zeros((12, 1), np.float32), np.ones((12, 1), np.float32)
    found = patched(original, made, bools("...xxxxxx..."), 2)[:, 0]
    np.testing.assert_allclose(found, [0, 0, 0, 1 / 3, 2 / 3, 1, 1, 2 / 3, 1 / 3, 0, 0, 0], atol=1e-6)


def test_a_continuation_has_no_jump() -> None:
    original, made = np.full((6, 1), 0.5, np.float32), np.zeros((12, 1), np.float32)
    found = patched(original, made, bools("......xxxxxx"), 3)[:, 0]
    assert (found[:6] == 0.5).all()
    np.testing.assert_allclose(found[6:], [0.375, 0.25, 0.125, 0, 0, 0], atol=1e-6)


def test_the_end_of_a_loop_leads_to_its_beginning() -> None:
    original, made = np.full((6, 1), 0.5, np.float32), np.zeros((12, 1), np.float32)
    found = patched(original, made, bools("......xxxxxx"), 2, loop=True)[:, 0]
    np.testing.assert_allclose(found[6:], [1 / 3, 1 / 6, 0, 0, 1 / 6, 1 / 3], atol=1e-6)
    turned = patched(np.full((12, 1), 0.5, np.float32), made, bools("xxxxxx......"), 2, loop=True)[:, 0]
    np.testing.assert_allclose(turned[:6], [1 / 3, 1 / 6, 0, 0, 1 / 6, 1 / 3], atol=1e-6)
    alone = patched(original[:0], made, bools("xxxxxx"), 2, loop=True)
    assert not alone.any(), "what is all new closes by itself"


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(0, 20), st.integers(0, 30))
def test_what_is_kept_is_kept_bit_for_bit(mask: list[bool], fade: int, beyond: int) -> None:
    rng = np.random.default_rng(len(mask))
    original = rng.uniform(-1, 1, (len(mask), 2)).astype(np.float32)
    asked = np.array([*mask, *[True] * beyond])
    made = rng.uniform(-1, 1, (len(asked) + 5, 2)).astype(np.float32)
    found = patched(original, made, asked, fade)
    kept = ~asked[: len(mask)]
    assert found.shape == (len(asked), 2) and np.isfinite(found).all()
    assert np.array_equal(found[: len(mask)][kept], original[kept])
    if fade == 0:
        assert np.array_equal(found[asked], made[: len(asked)][asked])
