"""How many rows pass which part of a MAR in a run, and what they cost in multiply-adds: the bound of any gain."""

from dataclasses import dataclass

import torch
from torch import nn

from models.decoding.plan import Plan, grouped
from models.mar.admission import chain_lengths
from models.mar.config import MARConfig
from models.mar.network import MAR
from models.mar.schedule import reveal_counts
from models.spec import Sampling

BOUND = (
    "Bounds are the gains if time were proportional to multiply-adds in the linear layers: all of them, and those of "
    "the steps without their chains."
)


@dataclass(frozen=True)
class Rows:
    """Of one sequence, both branches of guidance together; `head` counts a token once per reverse step."""

    encoder: int = 0
    decoder: int = 0
    head: int = 0

    def __add__(self, other: "Rows") -> "Rows":
        return Rows(self.encoder + other.encoder, self.decoder + other.decoder, self.head + other.head)


@dataclass(frozen=True)
class Price:
    """Multiply-adds of one row in the linear layers of each part; attention is left out."""

    encoder: int
    decoder: int
    head: int

    @classmethod
    def of(cls, config: MARConfig) -> "Price":
        with torch.device("meta"):
            network = MAR(config)
        head = network.head
        return cls(
            _weights(network.encoder, network.decoder_in),
            _weights(network.decoder),
            _weights(head.enter, head.blocks, head.modulation, head.leave),
        )

    def stacks(self, rows: Rows) -> int:
        """Of the steps, without their chains."""
        return rows.encoder * self.encoder + rows.decoder * self.decoder

    def total(self, rows: Rows) -> int:
        return self.stacks(rows) + rows.head * self.head


def rows_of_step(config: MARConfig, plan: Plan, sampling: Sampling, step: int) -> Rows:
    """Step number `step` with its chain, as `models.mar.pack` lays it out; what `plan` leaves out was given."""
    branches = 2 if sampling.guidance_scale != 1.0 else 1
    targets, before = plan.targets[step]
    full, reuse = chain_lengths(sampling, config)
    opens = step in plan.boundaries
    if opens:
        encoder = config.buffer + config.length - plan.total + sum(plan.reveals[:step])
        decoder = config.slots
    else:
        front = 0 if sampling.reuse_buffer else config.buffer
        encoder, decoder = front + before, front + targets
    chain = plan.reveals[step] * (full if opens else reuse)
    return Rows(branches * encoder, branches * decoder, branches * chain)


def rows_of(config: MARConfig, sampling: Sampling) -> Rows:
    """A whole picture."""
    counts = reveal_counts(sampling.schedule, config.length, min(sampling.num_inference_steps, config.length))
    plan = grouped(counts, sampling.reuse, sampling.full_first)
    return sum((rows_of_step(config, plan, sampling, step) for step in range(plan.steps)), Rows())


def bounds(config: MARConfig, plain: Sampling, recap: Sampling) -> tuple[float, float]:
    """How much faster `recap` could be than `plain` at most: whole pictures, and their steps without chains."""
    price, rows, fewer = Price.of(config), rows_of(config, plain), rows_of(config, recap)
    return price.total(rows) / price.total(fewer), price.stacks(rows) / price.stacks(fewer)


def _weights(*parts: nn.Module) -> int:
    return sum(layer.weight.numel() for part in parts for layer in part.modules() if isinstance(layer, nn.Linear))
