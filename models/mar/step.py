"""One decode step for many sequences: full and reuse steps of any branches in one packed forward, up to z."""

from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from models.decoder import PoisonedRows
from models.mar.attention import Ragged
from models.mar.chain import Chain, ChainStepper
from models.mar.network import MAR
from models.mar.order import ChainNoise
from models.mar.pack import Branch, pack
from models.mar.sequence import MARSequence
from models.mar.slots import StackSlots


@dataclass(frozen=True)
class Wanted:
    """The tokens whose chains begin: of which sequence of the batch [N], and where [N]; unconditional rows behind."""

    sequence: Tensor
    position: Tensor


Probe = Callable[[Seq[MARSequence], Wanted, Tensor], None]  # sequences, rows, z [N, D]


def evaluate(network: MAR, slots: StackSlots, seqs: Seq[MARSequence]) -> tuple[Wanted, Tensor]:
    """z [N, D] of every wanted token of `seqs`, then those of the unconditional branches. Raises PoisonedRows."""
    places = [(at, 0) for at in range(len(seqs))] + [(at, 1) for at, seq in enumerate(seqs) if seq.guided]
    branches = [_branch(seqs[at], kind) for at, kind in places]
    labels = [network.config.null_class if kind else seqs[at].label for at, kind in places]
    device = branches[0].tokens.device
    packed = pack(network.config, branches)
    encoded = network.encode(
        packed.values,
        packed.encoder_slot,
        packed.branch,
        network.condition(torch.tensor(labels, device=device)),
        Ragged(packed.encoder_spans, slots.encoder),
    )
    decoded = network.decode(encoded, packed.source, packed.decoder_slot, Ragged(packed.decoder_spans, slots.decoder))
    z = network.place(decoded[packed.wanted], packed.position)
    counts = torch.tensor(packed.counts, device=device)
    owner = torch.tensor([at for at, _ in places], device=device).repeat_interleave(counts, output_size=len(z))
    finite = z.float().sum(dim=-1).isfinite()
    if not finite.all():
        raise PoisonedRows([seqs[at] for at in owner[~finite].unique().tolist()])
    return Wanted(owner, packed.position), z


def _branch(seq: MARSequence, kind: int) -> Branch:
    return seq.branch(seq.kept[kind] if seq.kept else None)


def begin(
    stepper: ChainStepper, noise: ChainNoise, seqs: Seq[MARSequence], wanted: Wanted, z: Tensor, channels: int
) -> list[Chain]:
    """The chains of every sequence's wanted tokens, at their start: C `channels` numbers per token."""
    condition = stepper.condition(z)
    counts = [seq.plan.reveals[seq.step] for seq in seqs]
    total = sum(counts)
    free = iter(condition[total:].split([n for n, seq in zip(counts, seqs, strict=True) if seq.guided]))
    keys = torch.tensor([seq.key for seq in seqs], device=z.device)[wanted.sequence[:total]]
    x = noise.normal(keys, wanted.position[:total], torch.zeros_like(keys), channels)
    parts = zip(
        seqs, wanted.position[:total].split(counts), x.split(counts), condition[:total].split(counts), strict=True
    )
    return [
        Chain(
            key=seq.key,
            position=position,
            x=start,
            condition=given,
            unconditional=next(free) if seq.guided else given[:0],
            length=seq.chain_length,
            temperature=seq.request.sampling.temperature,
            scale=seq.scales[seq.step],
            bound=seq.request.sampling.diffusion_clip or inf,
        )
        for seq, position, start, given in parts
    ]


def advance(stepper: ChainStepper, noise: ChainNoise, seqs: Seq[MARSequence], times: int) -> list[Chain]:
    """The chains of all sequences, `times` reverse steps later; changes nothing. Raises PoisonedRows."""
    chains = [seq.chain for seq in seqs if seq.chain is not None]
    x = torch.cat([chain.x for chain in chains])
    counts = torch.tensor([len(chain.x) for chain in chains], device=x.device)

    def each(values: list[int]) -> Tensor:
        return torch.tensor(values, device=x.device).repeat_interleave(counts, output_size=len(x))

    step = each([chain.done + 1 for chain in chains]) + torch.arange(times, device=x.device).unsqueeze(-1)  # [S, N]
    key = each([chain.key for chain in chains]).expand_as(step)
    position = torch.cat([chain.position for chain in chains]).expand_as(step)
    draws = noise.normal(key.flatten(), position.flatten(), step.flatten(), x.shape[1])
    x = stepper.run(x, stepper.rows(chains), draws.view(times, *x.shape))
    made = x.split(counts.tolist())
    poisoned = [seq for seq, part in zip(seqs, made, strict=True) if not part.sum().isfinite()]
    if poisoned:
        raise PoisonedRows(poisoned)
    return [chain.at(part, times) for chain, part in zip(chains, made, strict=True)]
