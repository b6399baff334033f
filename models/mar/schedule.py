"""How many tokens each step reveals, and how strongly it is guided. Free of torch."""

from itertools import accumulate
from math import cos, floor, pi
from typing import Literal

from models.decoding import schedules
from models.decoding.plan import Plan

Guidance = Literal["linear", "constant"]


def reveal_counts(schedule: str, total: int, steps: int) -> list[int]:
    """Tokens that each of `steps` steps reveals, `total` in sum; for "cosine" as published.

    ValueError unless 1 <= steps <= total.
    """
    if not 1 <= steps <= total:
        raise ValueError(f"{total} tokens are revealed in 1 to {total} steps, not {steps}")
    if schedule != "cosine":
        return schedules.reveal_counts(schedule, total, steps)
    counts: list[int] = []
    left = total
    for step in range(1, steps):
        after = max(1, min(left - 1, floor(total * cos(pi / 2 * step / steps))))
        counts.append(left - after)
        left = after
    return [*counts, left]


def guidance_scales(plan: Plan, length: int, scale: float, kind: Guidance) -> tuple[float, ...]:
    """The scale of each step. Linear: it grows from 1 with the share of the `length` tokens known after the step.

    As in the published samplers, a plan without reuse steps counts one token as still unknown after its last step; one
    with (ReCAP) does not.
    """
    if kind == "constant":
        return (scale,) * plan.steps
    unknown = [plan.total - made for made in accumulate(plan.reveals)]
    unknown[-1] = 0 if plan.reuse else 1
    return tuple(1.0 + (scale - 1.0) * (length - left) / length for left in unknown)
