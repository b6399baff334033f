"""The rows of a batch: full branches first, then reuse branches; in both, conditional before unconditional ones.

What the host knows about a section travels to the device in one small table.
"""

from collections.abc import Sequence as Seq
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.decoding.noise import Rows
from models.decoding.slots import KVSlots, PackedAttention
from models.layers.linear import MIN_ROWS
from models.maskgit.state import MaskGITSequence, StatePool

Branch = tuple[int, int]  # place in the batch; 0: conditional, 1: unconditional


@dataclass(frozen=True)
class Packed:
    """R rows of B branches, of which D are drawn; the sequences that take a full step come first."""

    ids: Tensor  # [R], any value in class rows and in the padding rows at the end
    position: Tensor  # [R]
    starts: Tensor  # [B] class rows
    conditions: Tensor  # [B, D]
    attend: PackedAttention
    draw: Rows  # [D]
    slot: Tensor  # [D] state slots
    joint: Tensor  # [D] bool
    wanted: Tensor  # [D + G, padded] rows whose logits are needed, unconditional ones behind
    guided: Tensor | None  # [G] which of the D
    guidance: Tensor | None  # [G]
    full_draws: int  # the first of the D
    ranked: Tensor  # [F] state slots of the full sequences
    reveal: Tensor  # [F] tokens that each of them writes


@dataclass(frozen=True)
class Section:
    """The rows of one kind: r of them, b branches, d draws, g of these guided."""

    ids: Tensor  # [r]
    position: Tensor  # [r]
    starts: Tensor  # [b]
    conditions: Tensor  # [b, D]
    sequence: Tensor  # [d] places in the batch
    drawn: Tensor  # [d] positions
    cond: Tensor  # [d] rows
    uncond: Tensor  # [g] rows
    guided: Tensor  # [g] draws


def pack(pool: StatePool, slots: KVSlots, seqs: Seq[MaskGITSequence], full: int) -> Packed:
    """Lay out `seqs`, of which the first `full` take a full step, the others a reuse step."""
    device = pool.ids.device
    table = torch.tensor([(s.slot, s.step, s.plan.reveals[s.step], s.joint) for s in seqs], device=device)
    states, step, reveal, joint = table.unbind(1)
    dense, late = _branches(seqs, range(full)), _branches(seqs, range(full, len(seqs)))
    sections: list[Section] = []
    keep = write = None
    if dense:
        sections.append(_dense(pool, seqs, dense, states[:full]))
        keep = _keep(seqs, dense, slots.rows, device)
    draws = len(sections[0].cond) if dense else 0
    if late:
        section, write = _ragged(pool, seqs, late, len(dense) * slots.rows, draws)
        sections.append(section)
    sequence = _cat([s.sequence for s in sections])
    slot = states[sequence]
    draw = Rows(sequence, pool.key[slot], step[sequence], _cat([s.drawn for s in sections]))
    guided = _cat([s.guided for s in sections]) if any(seq.guided for seq in seqs) else None
    reuse = [(seqs[at].plan.targets[seqs[at].step][0] + 1, seqs[at].kv[kind]) for at, kind in late]
    return Packed(
        ids=_padded(_cat([s.ids for s in sections])),
        position=_padded(_cat([s.position for s in sections])),
        starts=_cat([s.starts for s in sections]),
        conditions=_cat([s.conditions for s in sections]),
        attend=PackedAttention(slots, len(dense), keep, write, reuse),
        draw=draw,
        slot=slot,
        joint=joint[sequence].bool(),
        wanted=_padded(_cat([s.cond for s in sections] + [s.uncond for s in sections])),
        guided=guided,
        guidance=None if guided is None else pool.guidance[slot[guided], draw.step[guided]],
        full_draws=draws,
        ranked=states[:full],
        reveal=reveal[:full],
    )


def _branches(seqs: Seq[MaskGITSequence], places: range) -> list[Branch]:
    return [(at, 0) for at in places] + [(at, 1) for at in places if seqs[at].guided]


def _dense(pool: StatePool, seqs: Seq[MaskGITSequence], branches: list[Branch], states: Tensor) -> Section:
    """Every row of each branch; draws are the unknown positions of the sequences at `states`."""
    device, length = pool.ids.device, pool.ids.shape[1]
    table = torch.tensor([(seqs[at].slot, kind) for at, kind in branches], device=device)
    of, kind = table.unbind(1)
    ids = F.pad(pool.ids[of], (1, 0))  # [b, L+1]
    position = torch.arange(-1, length, device=device).clamp_(min=0).expand_as(ids)
    sequence, drawn = (~pool.known[states]).nonzero(as_tuple=True)
    cond = sequence * (length + 1) + 1 + drawn
    guided = uncond = cond[:0]
    if len(branches) > len(states):
        twins = {at: b for b, (at, kind) in enumerate(branches) if kind == 1}
        twin = torch.tensor([twins.get(at, -1) for at in range(len(states))], device=device)[sequence]
        guided = (twin >= 0).nonzero().squeeze(-1)
        uncond = twin[guided] * (length + 1) + 1 + drawn[guided]
    return Section(
        ids=ids.flatten(),
        position=position.flatten(),
        starts=torch.arange(0, ids.numel(), length + 1, device=device),
        conditions=pool.conditions(of, kind == 1),
        sequence=sequence,
        drawn=drawn,
        cond=cond,
        uncond=uncond,
        guided=guided,
    )


def _ragged(
    pool: StatePool, seqs: Seq[MaskGITSequence], branches: list[Branch], row: int, draw: int
) -> tuple[Section, Tensor]:
    """The class row and the group's targets of each branch, and the store rows [r] they overwrite.

    Draws are the targets that this step writes. The section begins at row `row` and draw `draw`.
    """
    device, length = pool.ids.device, pool.ids.shape[1]
    rows: list[tuple[int, ...]] = []
    count = 0  # draws of the conditional branches
    for place, kind in branches:
        seq = seqs[place]
        targets, before = seq.plan.targets[seq.step]
        reveal = seq.plan.reveals[seq.step]
        count += 0 if kind else reveal
        held = seq.kv[kind] * (length + 1)
        rows.append((place, seq.slot, kind, held, targets + 1, before, before + reveal, seq.guided))
    table = torch.tensor(rows, device=device)
    total = sum(r[4] for r in rows)
    branch = torch.arange(len(rows), device=device).repeat_interleave(table[:, 4], output_size=total)
    starts = table[:, 4].cumsum(0) - table[:, 4]
    rank = torch.arange(-1, total - 1, device=device) - starts[branch]  # in the group's order; -1: the class row
    at, slot, _, store, _, written, end, guided = table[branch].unbind(1)
    position = pool.order[slot, rank.clamp(min=0)]
    fresh = ((rank >= written) & (rank < end)).nonzero().squeeze(-1)
    mine, theirs = fresh[:count], fresh[count:]
    section = Section(
        ids=pool.ids[slot, position],
        position=position,
        starts=starts + row,
        conditions=pool.conditions(table[:, 1], table[:, 2] == 1),
        sequence=at[mine],
        drawn=position[mine],
        cond=mine + row,
        uncond=theirs + row,
        guided=guided[mine].nonzero().squeeze(-1) + draw,
    )
    return section, store + torch.where(rank < 0, 0, position + 1)


def _keep(
    seqs: Seq[MaskGITSequence], branches: list[Branch], rows: int, device: torch.device
) -> tuple[Tensor, Tensor] | None:
    """(branches, K/V slots) of the full branches whose keys and values the reuse steps to come will read."""
    kept = [(b, seqs[at].kv[kind]) for b, (at, kind) in enumerate(branches) if seqs[at].kv]
    if not kept:
        return None
    table = torch.tensor(kept, device=device)
    return table[:, 0], table[:, 1]


def _cat(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _padded(index: Tensor) -> Tensor:
    """Linear layers want MIN_ROWS rows; what the added ones compute is not read."""
    missing = MIN_ROWS - len(index)
    return F.pad(index, (0, missing)) if missing > 0 else index
