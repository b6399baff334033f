"""Per-step numbers of a run as a function of the executed plan alone, so that a plan reproduces its result.

Noise and temperatures follow the share of tokens still unknown, not the step number: shortening the rest of a plan
leaves the steps already taken as they were.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from math import sqrt

from models.decoding.plan import Plan
from models.decoding.schedules import progress_at
from models.spec import Sampling


@dataclass(frozen=True)
class Annealed:
    """One value per step; `choice_temperature` is read at the first step of a group."""

    temperature: tuple[float, ...]
    choice_temperature: tuple[float, ...]
    guidance: tuple[float, ...]


@lru_cache(maxsize=1024)
def anneal(plan: Plan, sampling: Sampling) -> Annealed:
    """The schedule of `plan`: see `Sampling` for what each parameter does."""
    total = plan.total
    before = list(accumulate(plan.reveals, initial=0))
    clock = [progress_at(sampling.schedule, 1.0 - n / total) for n in before]  # [steps + 1]
    ends: list[float] = []
    for group, start in zip(plan.groups, plan.boundaries, strict=False):
        ends += [clock[start + len(group)]] * len(group)
    guidance = sampling.guidance_scale - 1.0
    ramp = sampling.guidance_schedule == "linear"
    return Annealed(
        temperature=tuple(
            1.0 + sqrt(r) * (sampling.temperature - 1.0) if sampling.anneal else sampling.temperature
            for r in clock[:-1]
        ),
        choice_temperature=tuple(sampling.choice_temperature * (1.0 - r) for r in ends),
        guidance=tuple(1.0 + guidance * (end if ramp else 1.0) for end in clock[1:]),
    )
