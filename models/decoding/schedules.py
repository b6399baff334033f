"""Mask schedules: the masked share gamma(r) at progress r in [0, 1], its inverse, step counts. Free of torch."""

from collections.abc import Sequence
from itertools import pairwise
from math import acos, cos, floor, pi


def masked_share(schedule: str, progress: float) -> float:
    """gamma(r): 1 at r=0, 0 at r=1 (MaskGIT, eq. 3; ReCAP uses power 2.5, AutoNAT explicit lists)."""
    name, numbers = parse(schedule)
    if name == "cosine":
        return cos(pi / 2 * progress)
    if name == "linear":
        return 1.0 - progress
    if name == "arccos":
        return acos(progress) / (pi / 2)
    if name == "power":
        return float(1.0 - progress ** numbers[0])
    knots = [1.0, *numbers, 0.0]
    at = min(int(progress * (len(knots) - 1) + 1e-9), len(knots) - 2)
    return knots[at] + (knots[at + 1] - knots[at]) * (progress * (len(knots) - 1) - at)


def progress_at(schedule: str, share: float) -> float:
    """The inverse of gamma: at which progress the share `share` is masked."""
    name, numbers = parse(schedule)
    if name == "cosine":
        return acos(share) / (pi / 2)
    if name == "linear":
        return 1.0 - share
    if name == "arccos":
        return cos(pi / 2 * share)
    if name == "power":
        return float((1.0 - share) ** (1.0 / numbers[0]))
    knots = [1.0, *numbers, 0.0]
    at = next(i for i in range(len(knots) - 1) if share >= knots[i + 1])
    return (at + (knots[at] - share) / (knots[at] - knots[at + 1])) / (len(knots) - 1)


def parse(schedule: str) -> tuple[str, tuple[float, ...]]:
    """`power:2.5` -> ("power", (2.5,)); `list:.9,.5` gives the masked share after each step but the last.

    Raises ValueError for an unknown name, a power that is not positive, a list that does not fall within (0, 1).
    """
    name, _, argument = schedule.partition(":")
    if name in ("cosine", "linear", "arccos") and not argument:
        return name, ()
    try:
        numbers = tuple(map(float, argument.split(",")))
    except ValueError:
        numbers = ()
    if name == "power" and len(numbers) == 1 and 0.0 < numbers[0] < 100.0:
        return name, numbers
    if name == "list" and numbers and all(a > b for a, b in pairwise((1.0, *numbers, 0.0))):
        return name, numbers
    raise ValueError(
        "schedule is cosine, linear, arccos, power:P (P > 0) or list:A,B,... (falling shares in (0, 1)), "
        f"not {schedule!r}"
    )


def reveal_counts(schedule: str, total: int, steps: int) -> list[int]:
    """Tokens that each of `steps` steps reveals: at least one each, `total` in sum. Needs 1 <= steps <= total."""
    masked = [floor(total * masked_share(schedule, t / steps) + 1e-9) for t in range(steps)] + [0]
    masked[0] = total
    return settle([before - after for before, after in pairwise(masked)])


def counts_from_ratios(ratios: Sequence[float], total: int) -> list[int]:
    """Explicit list: the masked share after each step but the last (AutoNAT): clamped so that each step reveals one."""
    left = total
    counts: list[int] = []
    for ratio in [*ratios, 0.0]:
        masked = 0 if len(counts) == len(ratios) else max(1, min(left - 1, floor(total * ratio)))
        counts.append(left - masked)
        left = masked
    return counts


def settle(counts: list[int]) -> list[int]:
    """Raise every empty step to one token, taken from the last step that can spare it."""
    counts = list(counts)
    debt = sum(1 - n for n in counts if n < 1)
    counts = [max(1, n) for n in counts]
    for at in reversed(range(len(counts))):
        taken = min(debt, counts[at] - 1)
        counts[at] -= taken
        debt -= taken
    return counts


def continue_counts(schedule: str, left: int, total: int, steps: int) -> list[int]:
    """The rest of a run that has `left` of `total` tokens unknown, in `steps` steps along the same curve."""
    start = progress_at(schedule, left / total)
    clock = [start + (1.0 - start) * t / steps for t in range(1, steps)]
    masked = [left, *(min(left, floor(total * masked_share(schedule, r) + 1e-9)) for r in clock), 0]
    return settle([before - after for before, after in pairwise(masked)])
