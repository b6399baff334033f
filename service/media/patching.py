"""Exact edits of sound: what the mask keeps comes back bit for bit."""

import numpy as np


def patched(original: np.ndarray, made: np.ndarray, mask: np.ndarray, fade: int) -> np.ndarray:
    """`original` where `mask` is false, `made` where it is true; seams of `fade` samples lie inside of what is made.

    float32 [M, C] and [N, C] with M <= N, bool [N] that is true behind M. Where both are there the seam is a
    cross-fade, over at most half of a masked stretch; behind the original's end what the two differ by at the seam is
    faded out.
    """
    count = len(mask)
    base = np.zeros((count, made.shape[1]), np.float32)
    base[: len(original)] = original[:count]
    blended = made[:count].astype(np.float32)
    for begin, end in stretches(mask):
        width = min(fade, (end - begin) // 2)
        ramp = ((np.arange(width, dtype=np.float32) + 1.0) / (width + 1.0))[:, None]
        if begin > 0:
            there = slice(begin, begin + width)
            before = base[there] if begin + width <= len(original) else made[there] + base[begin - 1] - made[begin - 1]
            blended[there] = before + ramp * (made[there] - before)
        if end < count:
            there = slice(end - width, end)
            blended[there] = made[there] + ramp * (base[there] - made[there])
    return np.where(mask[:, None], blended, base)


def stretches(mask: np.ndarray) -> list[tuple[int, int]]:
    """Begins and ends of what is true in a row of bools."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]
