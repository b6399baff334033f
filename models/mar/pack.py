"""The rows of a batch: branch after branch, buffer slots first, then tokens.

A branch is a sequence under one condition; a guided sequence has two.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.layers.linear import MIN_ROWS
from models.mar.attention import Span
from models.mar.config import MARConfig


@dataclass(frozen=True)
class Branch:
    """What one branch computes in one step.

    tokens [L, C]: values, read at `shown` alone. shown [n]: the known positions that pass the encoder; wanted [N]:
    those whose z is asked for. In a full step these are all there is to say; kept: the K/V slots (encoder, decoder)
    that it fills.

    A reuse step (ReCAP, arXiv 2505.19089) evaluates only `group` [G], the positions of its group, against the kept
    slots, in which the encoder's first `settled` tokens stay; shown are then the group's positions known so far, and
    `buffer` says whether the buffer slots are computed anew.
    """

    tokens: Tensor
    shown: Tensor
    wanted: Tensor
    kept: tuple[int, int] | None = None
    group: Tensor | None = None
    settled: int = 0
    buffer: bool = True


@dataclass(frozen=True)
class Packed:
    """R encoder rows and Q decoder rows of B branches, each padded to what linear layers need; N are wanted."""

    values: Tensor  # [R, C], zeros in buffer slots
    encoder_slot: Tensor  # [R]
    branch: Tensor  # [R]
    encoder_spans: list[Span]
    source: Tensor  # [Q] encoder row, or -1 where unknown
    decoder_slot: Tensor  # [Q]
    decoder_spans: list[Span]
    wanted: Tensor  # [N] decoder rows
    position: Tensor  # [N]
    counts: list[int]  # [B] how many of the N each branch wants


def pack(config: MARConfig, branches: Sequence[Branch]) -> Packed:
    """Lay out the branches; their tensors' device is the result's."""
    device = branches[0].tokens.device
    front = torch.arange(config.buffer, device=device)
    places = torch.arange(config.slots, device=device)
    values, encoder_slot, source, decoder_slot, wanted = [], [], [], [], []
    encoder_spans, decoder_spans = [], []
    row = start = 0
    for branch in branches:
        seen = branch.shown + config.buffer
        inside = torch.cat([front, seen]) if branch.buffer else seen  # [r] encoder slots
        group = places if branch.group is None else branch.group + config.buffer
        outside = group if branch.group is None or not branch.buffer else torch.cat([front, group])  # [q] decoder slots
        known = torch.full_like(places, -1)
        known[inside] = torch.arange(row, row + len(inside), device=device)
        where = torch.zeros_like(places)
        where[outside] = torch.arange(start, start + len(outside), device=device)
        values.append(F.pad(branch.tokens[branch.shown], (0, 0, len(inside) - len(seen), 0)))
        encoder_slot.append(inside)
        source.append(known[outside])
        decoder_slot.append(outside)
        wanted.append(where[branch.wanted + config.buffer])
        spans = _spans(config, branch, front, inside, outside)
        encoder_spans.append(spans[0])
        decoder_spans.append(spans[1])
        row, start = row + len(inside), start + len(outside)
    lengths = torch.tensor([span.rows for span in encoder_spans], device=device)
    of = torch.arange(len(branches), device=device).repeat_interleave(lengths, output_size=row)
    counts = [len(branch.wanted) for branch in branches]
    return Packed(
        values=_padded(torch.cat(values)),
        encoder_slot=_padded(torch.cat(encoder_slot)),
        branch=_padded(of),
        encoder_spans=encoder_spans,
        source=_padded(torch.cat(source)),
        decoder_slot=_padded(torch.cat(decoder_slot)),
        decoder_spans=decoder_spans,
        wanted=torch.cat(wanted),
        position=torch.cat([branch.wanted for branch in branches]),
        counts=counts,
    )


def _spans(config: MARConfig, branch: Branch, front: Tensor, inside: Tensor, outside: Tensor) -> tuple[Span, Span]:
    """Where the rows of both stacks find keys and values.

    The encoder's slot holds buffer, settled tokens, then the group's known ones; the decoder's holds every place.
    """
    encoder, decoder = branch.kept or (None, None)
    if branch.group is None:
        return Span(len(inside), encoder), Span(len(outside), decoder)
    first = config.buffer + branch.settled
    end = first + len(branch.shown)
    fresh = torch.arange(first, end, device=front.device)
    write = torch.cat([front, fresh]) if branch.buffer else fresh
    return Span(len(inside), encoder, write, end), Span(len(outside), decoder, outside, config.slots)


def _padded(rows: Tensor) -> Tensor:
    """Linear layers want MIN_ROWS rows; what the added ones compute is not read."""
    missing = MIN_ROWS - len(rows)
    return F.pad(rows, (0, 0) * (rows.ndim - 1) + (0, missing)) if missing > 0 else rows
