"""Mask schedules: the masked share gamma(r) at progress r in [0, 1], its inverse, and step counts from it. Free of torch."""

from collections.abc import Sequence
from math import acos, cos, floor, pi


def masked_share(schedule: str, progress: float) -> float:
    """gamma(r): 1 at r=0, 0 at r=1. `schedule` is cosine | linear | arccos | power:P (MaskGIT, eq. 3; ReCAP power 2.5)."""
    name, power = parse(schedule)
    if name == "cosine":
        return cos(pi / 2 * progress)
    if name == "linear":
        return 1.0 - progress
    if name == "arccos":
        return acos(progress) / (pi / 2)
    return 1.0 - progress**power


def progress_at(schedule: str, share: float) -> float:
    """The inverse of gamma: at which progress the share `share` is masked."""
    name, power = parse(schedule)
    if name == "cosine":
        return acos(share) / (pi / 2)
    if name == "linear":
        return 1.0 - share
    if name == "arccos":
        return cos(pi / 2 * share)
    return (1.0 - share) ** (1.0 / power)


def parse(schedule: str) -> tuple[str, float]:
    """`power:2.5` -> ("power", 2.5). Raises ValueError for an unknown name or a power that is not positive."""
    name, _, argument = schedule.partition(":")
    if name in ("cosine", "linear", "arccos") and not argument:
        return name, 1.0
    if name == "power":
        try:
            power = float(argument)
        except ValueError:
            power = 0.0
        if 0.0 < power < 100.0:
            return name, power
    raise ValueError(f"schedule is cosine, linear, arccos or power:P with P > 0, not {schedule!r}")


def reveal_counts(schedule: str, total: int, steps: int) -> list[int]:
    """Tokens that each of `steps` steps reveals: at least one each, `total` in sum. Needs 1 <= steps <= total."""
    masked = [floor(total * masked_share(schedule, t / steps) + 1e-9) for t in range(steps)] + [0]
    masked[0] = total
    return settle([before - after for before, after in zip(masked, masked[1:], strict=False)])


def counts_from_ratios(ratios: Sequence[float], total: int) -> list[int]:
    """Explicit list: the masked share after each step but the last (AutoNAT): clamped so that each step reveals one."""
    left, counts = total, []
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
    return settle([before - after for before, after in zip(masked, masked[1:], strict=False)])
