"""One group of steps, full and reuse, at any place of a picture: what its parts take."""

from dataclasses import dataclass
from statistics import mean

import numpy as np

from bench.context import Context
from bench.walk import admit, release, step
from models.decoder import GenerationRequest
from models.decoding.plan import Plan
from models.mar.decoder import MARDecoder
from models.spec import Sampling


@dataclass(frozen=True)
class Group:
    """Seconds of the full step, of a reuse step on average, and of one reverse step of a chain on average."""

    full: float
    reuse: float
    reverse: float


def run_group(context: Context, decoder: MARDecoder, sampling: Sampling, plan: Plan, sequences: int) -> Group:
    """The first group of `plan` for that many sequences at once; what the plan does not reveal is given."""
    length, channels = decoder.config.length, decoder.config.token_channels
    given = np.zeros((length, channels), np.float32)
    asked = [
        GenerationRequest(
            "variation", at % decoder.config.num_classes, sampling, seed=at, plan=plan, tokens=given,
            strength=plan.total / length,
        )
        for at in range(sequences)
    ]  # fmt: skip
    seqs = admit(decoder, asked)
    first, *others = [step(context, decoder, seqs) for _ in plan.groups[0]]
    release(decoder, seqs)
    chains = [leg for legs in (first, *others) for leg in legs[1:]]
    reverse = sum(leg.seconds for leg in chains) / sum(leg.work.times for leg in chains)
    return Group(first[0].seconds, mean(legs[0].seconds for legs in others), reverse)
