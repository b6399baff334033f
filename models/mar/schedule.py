"""How many tokens each step reveals, and how strongly it is guided. Free of torch."""

from math import cos, floor, pi
from typing import Literal

from models.decoding.plan import Plan, grouped

Guidance = Literal["linear", "constant"]


def reveal_counts(length: int, steps: int) -> list[int]:
    """The published cosine schedule: tokens that each of `steps` steps reveals; the last takes what is left.

    ValueError unless 1 <= steps <= length.
    """
    if not 1 <= steps <= length:
        raise ValueError(f"{length} tokens are revealed in 1 to {length} steps, not {steps}")
    counts: list[int] = []
    left = length
    for step in range(1, steps):
        after = max(1, min(left - 1, floor(length * cos(pi / 2 * step / steps))))
        counts.append(left - after)
        left = after
    return [*counts, left]


def plan(length: int, steps: int, full_first: int | None = None, reuse: int = 1) -> Plan:
    """MAR's steps; with `full_first` ReCAP's: from there on groups of one full and up to `reuse` cheap steps."""
    counts = reveal_counts(length, steps)
    return grouped(counts, 0, 0) if full_first is None else grouped(counts, reuse, full_first)


def guidance_scales(counts: list[int], length: int, scale: float, kind: Guidance, last: int = 1) -> list[float]:
    """The scale of each step. Linear: it grows from 1 with the share of tokens known after the step.

    The published sampler of MAR counts `last` = 1 token as still unknown after its last step, that of ReCAP 0.
    """
    if kind == "constant":
        return [scale] * len(counts)
    left, scales = length, []
    for at, count in enumerate(counts, 1):
        left -= count
        unknown = left if at < len(counts) else last
        scales.append(1.0 + (scale - 1.0) * (length - unknown) / length)
    return scales
