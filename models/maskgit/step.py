"""One decode step for many sequences: full rows and reuse rows side by side in one packed forward.

A full step evaluates every row of a sequence, ranks its unknown positions by confidence and writes the best; the reuse
steps of the same group re-evaluate only the group's targets against kept keys and values (ReCAP, arXiv 2505.19089).
"""

from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass

import torch
from torch import Tensor

from models.decoder import PoisonedRows
from models.decoding.noise import Noise, Purpose, Rows
from models.decoding.sampling import filter_logits, guide, log_prob, rank
from models.decoding.slots import KVSlots, PackedAttention
from models.layers.linear import pad_rows
from models.maskgit.network import UViT
from models.maskgit.state import MaskGITSequence, StatePool, slots_of

Probe = Callable[[Seq[MaskGITSequence], Rows, Tensor], None]


@dataclass(frozen=True)
class Update:
    """What a step decided, before anything is committed: token `token[i]` at `position[i]` of state slot `slot[i]`."""

    slot: Tensor
    position: Tensor
    token: Tensor
    ranked: tuple[Tensor, Tensor]  # state slots [F], their order [F, L]
    guess: tuple[Tensor, Tensor, Tensor] | None  # slots, positions, tokens


@dataclass(frozen=True)
class Packed:
    """The rows of a batch: full branches first, then reuse branches; conditional before unconditional ones."""

    x: Tensor  # [R, D]
    attend: PackedAttention
    draw: Rows  # the D rows whose logits are needed, full ones first
    full_draws: int
    cond: Tensor  # [D] row of x
    uncond: Tensor  # [G] row of x
    guided: Tensor | None  # [G] which of the D rows


def evaluate(network: UViT, project: Callable[[Tensor], Tensor], packed: Packed, guidance: Tensor) -> Tensor:
    """Forward and guidance: the fp32 logits [D, K] of the rows to be drawn."""
    features = network.trunk(pad_rows(packed.x), packed.attend)
    rows = torch.cat([packed.cond, packed.uncond])
    logits = project(network.mlm_layer(pad_rows(features[rows])))[: len(rows)].float()
    if packed.guided is None:
        return logits
    drawn = len(packed.cond)
    logits[packed.guided] = guide(logits[packed.guided], logits[drawn:], guidance[packed.guided])
    return logits[:drawn]


def pack(network: UViT, pool: StatePool, slots: KVSlots, seqs: Seq[MaskGITSequence], full: int) -> Packed:
    """Lay out the rows of `seqs`, of which the first `full` take a full step, the others a reuse step."""
    device = pool.ids.device
    length = pool.ids.shape[1]
    state = slots_of(seqs, str(device))
    step = torch.tensor([seq.step for seq in seqs], device=device)
    null = network.config.null_class
    branches = [
        [(at, 0) for at in range(full)] + [(at, 1) for at in range(full) if seqs[at].guided],
        [(at, 0) for at in range(full, len(seqs))] + [(at, 1) for at in range(full, len(seqs)) if seqs[at].guided],
    ]
    rows: list[Tensor] = []
    cond, uncond = [], []  # rows of x to be drawn
    draw_seq, draw_pos, guided = [], [], []
    keep = write = None
    reuse: list[tuple[int, int]] = []

    dense = len(branches[0]) * (length + 1)
    if full:
        of = torch.tensor([at for at, _ in branches[0]], device=device)
        free = torch.tensor([kind == 1 for _, kind in branches[0]], device=device)
        labels = pool.label[state[of]].masked_fill(free, null)
        positions = torch.arange(length, device=device).expand(len(of), length)
        tokens = network.embed_tokens(pool.ids[state[of]], positions)
        rows.append(torch.cat([network.embed_classes(labels)[:, None], tokens], 1).flatten(0, 1))
        at_seq, at_pos = (~pool.known[state[:full]]).nonzero(as_tuple=True)
        draw_seq.append(at_seq)
        draw_pos.append(at_pos)
        cond.append(at_seq * (length + 1) + 1 + at_pos)
        if len(of) > full:
            branch = torch.full((full,), -1, device=device)
            branch[of[full:]] = torch.arange(full, len(of), device=device)
            both = (branch[at_seq] >= 0).nonzero().squeeze(-1)
            guided.append(both)
            uncond.append(branch[at_seq[both]] * (length + 1) + 1 + at_pos[both])
        kept = [(b, seqs[at].kv[kind]) for b, (at, kind) in enumerate(branches[0]) if seqs[at].kv]
        if kept:
            span = torch.arange(length + 1, device=device)
            keep = (
                torch.cat([b * (length + 1) + span for b, _ in kept]),
                torch.cat([slot * (length + 1) + span for _, slot in kept]),
            )
    drawn = sum(map(len, draw_seq))
    if branches[1]:
        of = torch.tensor([at for at, _ in branches[1]], device=device)
        labels = pool.label[state[of]]
        labels[torch.tensor([kind == 1 for _, kind in branches[1]], device=device)] = null
        spans = [_span(seqs[at]) for at, _ in branches[1]]  # (targets, written, reveal)
        counts = torch.tensor([n + 1 for n, _, _ in spans], device=device)
        total = sum(n + 1 for n, _, _ in spans)
        branch = torch.arange(len(of), device=device).repeat_interleave(counts, output_size=total)
        starts = counts.cumsum(0) - counts
        within = torch.arange(total, device=device) - starts[branch]  # 0 is the class row
        slot = state[of][branch]
        position = pool.order[slot, (within - 1).clamp(min=0)]
        x = network.embed_tokens(pool.ids[slot, position], position)
        x[starts] = network.embed_classes(labels).to(x.dtype)
        rows.append(x)
        held = torch.tensor([seqs[at].kv[kind] for at, kind in branches[1]], device=device)
        write = held[branch] * (length + 1) + torch.where(within == 0, 0, position + 1)
        reuse = [(n + 1, seqs[at].kv[kind]) for (n, _, _), (at, kind) in zip(spans, branches[1], strict=True)]
        first = torch.tensor([written + 1 for _, written, _ in spans], device=device)
        last = first + torch.tensor([reveal for _, _, reveal in spans], device=device)
        fresh = ((within >= first[branch]) & (within < last[branch])).nonzero().squeeze(-1)
        free = torch.tensor([kind for _, kind in branches[1]], device=device)[branch[fresh]] == 1
        mine, theirs = fresh[~free], fresh[free]
        draw_seq.append(of[branch[mine]])
        draw_pos.append(position[mine])
        cond.append(dense + mine)
        if len(theirs):
            has = torch.tensor([seq.guided for seq in seqs], device=device)
            guided.append(drawn + has[of[branch[mine]]].nonzero().squeeze(-1))
            uncond.append(dense + theirs)
    sequence = torch.cat(draw_seq)
    empty = sequence.new_zeros(0)
    return Packed(
        x=torch.cat(rows),
        attend=PackedAttention(slots, len(branches[0]), keep, write, reuse),
        draw=Rows(sequence, pool.key[state[sequence]], step[sequence], torch.cat(draw_pos)),
        full_draws=drawn,
        cond=torch.cat(cond),
        uncond=torch.cat(uncond) if uncond else empty,
        guided=torch.cat(guided) if guided else None,
    )


def _span(seq: MaskGITSequence) -> tuple[int, int, int]:
    """Of the group that `seq` is in: its targets, those already written, and those this step writes."""
    bounds = seq.plan.boundaries
    group = next(g for g in range(len(bounds) - 1) if seq.step < bounds[g + 1])
    local = seq.step - bounds[group]
    reveals = seq.plan.groups[group]
    return sum(reveals), sum(reveals[:local]), reveals[local]


def decide(
    pool: StatePool,
    noise: Noise,
    seqs: Seq[MaskGITSequence],
    full: int,
    packed: Packed,
    logits: Tensor,
) -> Update:
    """Draw tokens and choose positions for every sequence of a batch; changes nothing."""
    device = logits.device
    draw = packed.draw
    state = slots_of(seqs, str(device))
    finite = logits.sum(dim=-1).isfinite()
    if not finite.all():
        raise PoisonedRows([seqs[at] for at in draw.sequence[~finite].unique().tolist()])
    slot = state[draw.sequence]  # [D]
    temperature = pool.temperature[slot, draw.step].clamp(min=1e-4)
    narrowed = (
        filter_logits(logits, pool.top_k[slot], pool.top_p[slot])
        if any(seq.request.sampling.top_k or seq.request.sampling.top_p < 1.0 for seq in seqs)
        else logits
    )
    joint = torch.tensor([seq.joint for seq in seqs], device=device)[draw.sequence]

    count = packed.full_draws
    here = _take(draw, slice(0, count))
    heat = torch.where(joint[:count], temperature[:count], 1.0)
    scored = noise.categorical(narrowed[:count] / heat[:, None], here, Purpose.SCORE)
    scale = pool.choice_temperature[slot[:count], here.step]
    scores = torch.full((full, pool.ids.shape[1]), -torch.inf, device=device)
    scores[here.sequence, here.position] = log_prob(logits[:count], scored) + scale * noise.gumbel(here)
    order = rank(scores)  # [F, L]

    reveal = torch.tensor([seq.plan.reveals[seq.step] for seq in seqs[:full]], device=device)
    place = torch.empty_like(order).scatter_(1, order, torch.arange(order.shape[1], device=device).expand_as(order))
    chosen = place[here.sequence, here.position] < reveal[here.sequence]
    chosen = torch.cat([chosen, chosen.new_ones(len(logits) - count)])  # reuse rows are all written
    token = torch.empty(len(logits), dtype=torch.long, device=device)
    token[:count] = scored
    late = torch.ones_like(joint)
    late[:count] = ~joint[:count]
    again = (chosen & late).nonzero().squeeze(-1)
    token[again] = noise.categorical(narrowed[again] / temperature[again, None], _take(draw, again), Purpose.TOKEN)
    watched = torch.tensor([seq.request.partials > 0 for seq in seqs], device=device)
    guess = None
    if any(seq.request.partials for seq in seqs[:full]):
        seen = watched[here.sequence].nonzero().squeeze(-1)
        guess = (slot[seen], here.position[seen], logits[seen].argmax(dim=-1))
    return Update(slot[chosen], draw.position[chosen], token[chosen], (state[:full], order), guess)


def commit(pool: StatePool, seqs: Seq[MaskGITSequence], update: Update) -> None:
    pool.ids[update.slot, update.position] = update.token
    pool.known[update.slot, update.position] = True
    ranked, order = update.ranked
    pool.order[ranked] = order
    if update.guess is not None:
        slot, position, token = update.guess
        pool.guess[slot, position] = token
    for seq in seqs:
        seq.known += seq.plan.reveals[seq.step]
        seq.step += 1


def _take(rows: Rows, which: Tensor | slice) -> Rows:
    return Rows(rows.sequence[which], rows.key[which], rows.step[which], rows.position[which])
