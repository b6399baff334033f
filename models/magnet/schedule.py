"""How many units each step masks, and how hot it draws. Free of torch.

The published sampler computes the masked share in float32, where the seventh of ten steps masks less than half. Its
linspace and cosine are spelled out here, so that a plan is the same on every machine. Against torch 2.13 with AVX2 and
AVX512: linspace was equal for up to 1024 steps; the cosine, rounded correctly here, gave equal counts for any number of
units up to 1600 and up to 75 steps, and beyond that but for one count in ten thousand.
"""

from functools import lru_cache
from math import pi

import numpy as np

COOLEST = 0.01
"""The least temperature, which the last step of a codebook has."""


@lru_cache(maxsize=1024)
def masked_shares(steps: int) -> tuple[float, ...]:
    """m = cos(pi/2 i/(S-1)) of steps i = 0 to S-1, as float32 numbers; 1 where S is 1."""
    if steps == 1:
        return (1.0,)
    at = np.arange(steps)
    width = np.float64(np.float32(1.0) / np.float32(steps - 1))
    forward, backward = (at * width).astype(np.float32), (1.0 - (steps - 1 - at) * width).astype(np.float32)
    progress = np.where(at < steps // 2, forward, backward)
    angle = (progress * np.float32(pi)) * np.float32(0.5)
    return tuple(np.cos(angle.astype(np.float64)).astype(np.float32).tolist())


def masked_counts(steps: int, units: int) -> tuple[int, ...]:
    """Units that each step masks, of `units` that are to be made.

    The first masks all, every one, the last too, at least one; steps that follow each other may mask equally many.
    """
    shares = np.array(masked_shares(steps), np.float32)
    return tuple(max(1, int(share * np.float32(units))) for share in shares)


def temperatures(steps: int, temperature: float, anneal: bool) -> tuple[float, ...]:
    """Of each step, never below `COOLEST`. Annealed: temperature (S - 1 - i) / S, so the first is not the hottest."""
    falling = [temperature * (steps - 1 - at) / steps if anneal else temperature for at in range(steps)]
    return tuple(max(t, COOLEST) for t in falling)
