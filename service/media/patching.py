"""Exact edits of sound: what the mask keeps comes back bit for bit."""

import numpy as np


def patched(original: np.ndarray, made: np.ndarray, mask: np.ndarray, fade: int, loop: bool = False) -> np.ndarray:
    """`original` where `mask` is false, `made` where it is true; seams of `fade` samples lie inside of what is made.

    float32 [M, C] and [N, C] with M <= N, bool [N] that is true behind M. Where both are there the seam is a
    cross-fade, over at most half of a masked stretch; behind the original's end what the two differ by at the seam is
    faded out. Of a `loop` the same is done at its end, which leads to its beginning.
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
        elif loop and not mask[0]:
            blended[end - width : end] += ramp * (base[0] - made[0])
        if loop and begin == 0 and not mask[-1]:
            blended[:width] += ramp[::-1] * (base[-1] - made[count - 1])
    return np.where(mask[:, None], blended, base)


def stretches(mask: np.ndarray) -> list[tuple[int, int]]:
    """Begins and ends of what is true in a row of bools."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]
