"""The published samplers as plans with explicit per-step numbers: MaskGIT-r (ReCAP) and AutoNAT."""

from collections.abc import Sequence

from models.decoding.annealing import Annealed
from models.decoding.plan import Plan, grouped
from models.decoding.schedules import counts_from_ratios, reveal_counts


def maskgit_r(
    length: int,
    steps: int,
    reuse: int,
    full_first: int,
    temperature: float,
    choice_temperature: float,
    weight: tuple[float, float] | None = None,
) -> tuple[Plan, Annealed]:
    """ReCAP's sampler: power-2.5 counts, temperature 1 -> `temperature` with sqrt(t), choice noise falling by group.

    `weight` is the guidance weight w at the first and last step, in cond + w * (cond - uncond); the published driver
    gives a reuse forward the weight of the step before it, and so does this.
    """
    counts = reveal_counts("power:2.5", length, steps)
    plan = grouped(counts, reuse, full_first)
    rise = [t / max(1, steps - 1) for t in range(steps)]
    low, high = weight or (0.0, 0.0)
    group_of = [g for g, group in enumerate(plan.groups) for _ in group]
    first = [plan.boundaries[g] for g in group_of]
    guidance = [low + (high - low) * rise[max(start, t - 1)] for t, start in enumerate(first)]
    return plan, Annealed(
        temperature=tuple(temperature + (1.0 - r**0.5) * (1.0 - temperature) for r in rise),
        choice_temperature=tuple(choice_temperature * (1.0 - (g + 1) / plan.full) for g in group_of),
        guidance=tuple(1.0 + w for w in guidance),
    )


def autonat(
    length: int,
    ratios: Sequence[float],
    choice_temperatures: Sequence[float],
    temperatures: Sequence[float],
    weights: Sequence[float],
) -> tuple[Plan, Annealed]:
    """AutoNAT's lists: masked share and choice noise after each step but the last, temperature and w of each step."""
    plan = grouped(counts_from_ratios(ratios, length), reuse=0, full_first=0)
    return plan, Annealed(
        temperature=tuple(temperatures),
        choice_temperature=(*choice_temperatures, 0.0),
        guidance=tuple(1.0 + w for w in weights),
    )
