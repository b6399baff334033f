"""A plan: how many tokens each step reveals, and which steps reuse cached attention features. Free of torch.

Text form: `1,2,4+6,6+7` - commas part groups, the first step of a group is full, those after a `+` are reuse steps. A
long run of groups that reveal nothing reads `99*0`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain, groupby

RUN = 10  # groups that reveal nothing, from which on they are counted
LONGEST = 1000  # of a run: texts may be anybody's


@dataclass(frozen=True)
class Plan:
    groups: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if any(not group or min(group) < 0 for group in self.groups):
            raise ValueError("every step of a plan reveals a number of tokens")

    def __str__(self) -> str:
        return ",".join(_runs("+".join(map(str, group)) for group in self.groups))

    @classmethod
    def parse(cls, text: str) -> "Plan":
        try:
            groups = tuple(chain.from_iterable(map(_run, text.split(","))))
        except ValueError:
            raise ValueError(f"a plan reads like '1,2,4+6,6+7', not {text!r}") from None
        return cls(groups)

    @cached_property
    def reveals(self) -> tuple[int, ...]:
        return tuple(chain.from_iterable(self.groups))

    @cached_property
    def steps(self) -> int:
        return sum(map(len, self.groups))

    @cached_property
    def full(self) -> int:
        return len(self.groups)

    @cached_property
    def reuse(self) -> int:
        return self.steps - self.full

    @cached_property
    def total(self) -> int:
        return sum(self.reveals)

    @cached_property
    def boundaries(self) -> tuple[int, ...]:
        """Step indices at which a group begins, and the end."""
        return tuple(accumulate(map(len, self.groups), initial=0))

    @cached_property
    def targets(self) -> tuple[tuple[int, int], ...]:
        """Per step: how many tokens its group reveals, and how many of them earlier steps have written."""
        return tuple((sum(group), sum(group[:at])) for group in self.groups for at in range(len(group)))

    def head(self, steps: int) -> "Plan":
        """The groups before `steps`, which must be a boundary."""
        return Plan(self.groups[: self.boundaries.index(steps)])

    def then(self, rest: "Plan") -> "Plan":
        return Plan(self.groups + rest.groups)


def grouped(reveals: Sequence[int], reuse: int, full_first: int) -> Plan:
    """Gather steps into groups of one full and up to `reuse` cheap steps; the first `full_first` steps stay alone.

    Source: ReCAP (arXiv 2505.19089), grouped decoding.
    """
    groups: list[tuple[int, ...]] = []
    at = 0
    while at < len(reveals):
        width = 1 + (reuse if at + 1 > full_first else 0)
        groups.append(tuple(reveals[at : at + width]))
        at += width
    return Plan(tuple(groups))


def _runs(groups: Iterable[str]) -> Iterator[str]:
    for group, run in groupby(groups):
        left = len(list(run))
        while group == "0" and left >= RUN:
            yield f"{min(left, LONGEST)}*0"
            left -= min(left, LONGEST)
        yield from [group] * left


def _run(text: str) -> tuple[tuple[int, ...], ...]:
    """Raises ValueError."""
    count, star, group = text.rpartition("*")
    if not star:
        return (tuple(int(n) for n in text.split("+")),)
    if group != "0" or not RUN <= int(count) <= LONGEST:
        raise ValueError
    return ((0,),) * int(count)
