"""The state of a MAGNeT sequence, and its plan. A plan counts in spans or tokens of one codebook after the other."""

from dataclasses import dataclass
from itertools import pairwise
from typing import cast

from models.decoder import Sequence
from models.decoding.plan import Plan, grouped
from models.magnet.decoding import Decoding
from models.magnet.sample import Sample
from models.magnet.schedule import masked_counts
from models.magnet.twin import Beginning
from models.spec import shared_steps


@dataclass(eq=False, kw_only=True)
class MAGNeTSequence(Sequence):
    """`state` is what steps change; `prompted`: its text is there; `encoded`: so are the tokens of an upload.
    `beginning`: of a sound that the twin begins, until that is done.
    """

    state: Sample
    prompted: bool
    encoded: bool
    beginning: Beginning | None = None
    finished: bool = False

    @property
    def made(self) -> int:
        given = self.request.task == "edit"
        return self.state.ids.shape[0] * int((~self.state.known).sum() if given else len(self.state.known))

    @property
    def audible(self) -> int:
        """Codebooks that are worth hearing: finished ones, or the first, whose tokens all have a value."""
        return max(1, self.state.decoding.stage(self.step)[0] if self.step < self.plan.steps else len(self.state.ids))


def own(seq: Sequence) -> MAGNeTSequence:
    return cast(MAGNeTSequence, seq)


def planned(decoding: Decoding, units: int) -> Plan:
    """How many of `units` units, codebook by codebook, each step decides for good; some steps none."""
    groups: list[tuple[int, ...]] = []
    for steps in decoding.steps:
        counts = (*masked_counts(steps, units), 0)
        reveals = [now - then for now, then in pairwise(counts)]
        groups += grouped(reveals, decoding.reuse, decoding.full_first).groups
    return Plan(tuple(groups))


def shortened(decoding: Decoding, step: int, left: int) -> Decoding:
    """At most `left` steps more behind `step`, at least one per codebook; one that has begun keeps its steps."""
    codebook, begun = decoding.stage(step)
    fresh = codebook + 1 if begun else codebook
    budget = left - (decoding.steps[codebook] - begun if begun else 0)
    rest = decoding.steps[fresh:]
    if not rest or budget >= sum(rest):
        return decoding
    return decoding.with_steps((*decoding.steps[:fresh], *shared_steps(budget, rest)))
