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
from models.maskgit.network import UViT
from models.maskgit.pack import Packed
from models.maskgit.state import MaskGITSequence, StatePool

Probe = Callable[[Seq[MaskGITSequence], Rows, Tensor], None]


@dataclass(frozen=True)
class Update:
    """What a step decided, before anything is committed: token `token[i]` at `position[i]` of state slot `slot[i]`."""

    slot: Tensor
    position: Tensor
    token: Tensor
    ranked: tuple[Tensor, Tensor]  # state slots [F], their order [F, L]
    guess: tuple[Tensor, Tensor, Tensor, Tensor, Tensor] | None  # slots, positions, tokens, probabilities, steps or 0


def evaluate(network: UViT, project: Callable[[Tensor], Tensor], packed: Packed) -> Tensor:
    """Forward and guidance: the fp32 logits [D, K] of the rows to be drawn."""
    x = network.embed(packed.ids, packed.position, packed.starts, packed.conditions)
    features = network.trunk(x, packed.attend)
    logits = project(network.mlm_layer(features[packed.wanted])).float()
    drawn = len(packed.slot)
    if packed.guided is not None and packed.guidance is not None:
        free = logits[drawn : drawn + len(packed.guided)]
        logits[packed.guided] = guide(logits[packed.guided], free, packed.guidance)
    return logits[:drawn]


def decide(pool: StatePool, noise: Noise, seqs: Seq[MaskGITSequence], packed: Packed, logits: Tensor) -> Update:
    """Draw tokens and choose positions for every sequence of a batch; changes nothing."""
    draw, slot, count = packed.draw, packed.slot, packed.full_draws
    finite = logits.sum(dim=-1).isfinite()
    if not finite.all():
        raise PoisonedRows([seqs[at] for at in draw.sequence[~finite].unique().tolist()])
    samplings = [seq.request.sampling for seq in seqs]
    narrow = any(s.top_k or s.top_p < 1.0 for s in samplings)
    narrowed = filter_logits(logits, pool.top_k[slot], pool.top_p[slot]) if narrow else logits
    heat = pool.temperature[slot, draw.step].clamp(min=1e-4).unsqueeze(-1)  # [D, 1]

    here = draw.take(slice(0, count))
    joint = packed.joint[:count]
    heated = narrowed[:count]
    if any(seq.slot in pool.warm for seq in seqs):
        heated = heated / torch.where(joint.unsqueeze(-1), heat[:count], 1.0)
    scored = noise.categorical(heated, here, Purpose.SCORE)
    scale = pool.choice_temperature[slot[:count], here.step]
    scores = logits.new_full((len(packed.ranked), pool.ids.shape[1]), -torch.inf)
    scores[here.sequence, here.position] = log_prob(logits[:count], scored) + scale * noise.gumbel(here)
    order = rank(scores)  # [F, L]
    place = torch.empty_like(order)
    place.scatter_(1, order, torch.arange(order.shape[1], device=order.device).expand_as(order))
    first = place[here.sequence, here.position] < packed.reveal[here.sequence]

    chosen, token = first, scored
    if count < len(slot) or not all(seq.joint for seq in seqs):
        rest = len(slot) - count  # reuse rows: all are written
        chosen = torch.cat([first, first.new_ones(rest)])
        token = torch.cat([scored, scored.new_zeros(rest)])
        again = torch.cat([first & ~joint, first.new_ones(rest)]).nonzero().squeeze(-1)
        token[again] = noise.categorical(narrowed[again] / heat[again], draw.take(again), Purpose.TOKEN)
    guess = _guess(seqs, packed, logits, chosen, token)
    return Update(slot[chosen], draw.position[chosen], token[chosen], (packed.ranked, order), guess)


def _guess(
    seqs: Seq[MaskGITSequence], packed: Packed, logits: Tensor, chosen: Tensor, token: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor] | None:
    """For the previews of those that asked for some: `token` where it was `chosen` [D], else the likeliest."""
    watched = [seq.request.partials > 0 for seq in seqs]
    if not any(watched):
        return None
    seen = torch.tensor(watched, device=logits.device)[packed.draw.sequence].nonzero().squeeze(-1)
    shares = logits[seen].softmax(dim=-1)
    shown = torch.where(chosen[seen], token[seen], shares.argmax(dim=-1))
    share = shares.gather(-1, shown.unsqueeze(-1)).squeeze(-1)
    step = (packed.draw.step[seen] + 1).masked_fill(~chosen[seen], 0).to(torch.int16)
    return packed.slot[seen], packed.draw.position[seen], shown, share, step


def commit(pool: StatePool, seqs: Seq[MaskGITSequence], update: Update) -> None:
    pool.ids[update.slot, update.position] = update.token
    pool.known[update.slot, update.position] = True
    ranked, order = update.ranked
    pool.order[ranked] = order
    if update.guess is not None:
        slot, position, token, share, step = update.guess
        pool.guess[slot, position] = token
        pool.confidence[slot, position] = share
        pool.written[slot, position] = step
    for seq in seqs:
        seq.known += seq.plan.reveals[seq.step]
        seq.step += 1
