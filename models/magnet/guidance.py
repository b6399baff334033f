"""Classifier-free guidance that is annealed within each codebook. Free of torch."""

from collections.abc import Sequence


def scales(shares: Sequence[float], guidance: tuple[float, float]) -> tuple[float, ...]:
    """Per step, m * first + (1 - m) * last with the masked share m: g of `uncond + g * (cond - uncond)`.

    The last share is cos(pi/2) in float32, a hair below 0, so the last scale is a hair off `last`.
    """
    first, last = guidance
    return tuple(m * first + (1.0 - m) * last for m in shares)
