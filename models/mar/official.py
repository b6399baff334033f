"""The published samplers of MAR and MAR + ReCAP, for any mix of sequences at different steps: a decoder's reference."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from models.decoding.plan import Plan
from models.mar.attention import Ragged
from models.mar.chain import ChainRows, ChainStepper
from models.mar.network import MAR
from models.mar.order import ChainNoise, CounterChainNoise
from models.mar.pack import Branch, Packed, pack
from models.mar.slots import StackSlots

FAST_SHARE = 0.5  # of the chain in ReCAP's reuse steps: whatever its command line says, the published code uses this


@dataclass(eq=False)
class Sample:
    """A sequence: the positions in `order` [L] are revealed from the front, as `plan` says."""

    key: int
    label: int
    order: Tensor
    plan: Plan
    scales: Sequence[float]  # guidance per step; all exactly 1: no unconditional branch
    temperature: float
    tokens: Tensor  # [L, C]
    step: int = 0
    kept: list[tuple[int, int]] = field(default_factory=list)  # K/V slots per branch, inside a group

    @property
    def guided(self) -> bool:
        return any(scale != 1.0 for scale in self.scales)

    @property
    def done(self) -> bool:
        return self.step == self.plan.steps

    @property
    def reuse(self) -> bool:
        """Whether the next step is one."""
        return self.step not in self.plan.boundaries

    @property
    def opens(self) -> bool:
        """Whether the next step begins a group whose reuse steps will read its keys and values."""
        return not self.reuse and self.step + 1 not in self.plan.boundaries

    def branch(self, kept: tuple[int, int] | None, buffer: bool) -> Branch:
        """The next step; inside a group positions are revealed in rising order."""
        targets, before = self.plan.targets[self.step]
        settled = sum(self.plan.reveals[: self.step]) - before
        group = self.order[settled : settled + targets].sort().values
        wanted = group[before : before + self.plan.reveals[self.step]]
        if not self.reuse:
            return Branch(self.tokens, self.order[:settled].sort().values, wanted, kept)
        return Branch(self.tokens, group[:before], wanted, kept, group, settled, buffer)


class Sampler:
    """`steps` counts those of a chain; `buffer_kept`: ReCAP's reuse steps do not compute the buffer anew."""

    def __init__(
        self, network: MAR, steps: int | None = None, noise: ChainNoise | None = None, buffer_kept: bool = False
    ) -> None:
        self.network = network
        self.config = network.config
        self.steps = steps or self.config.diffusion_steps
        self.fast = max(2, int(self.steps * FAST_SHARE))
        self.noise: ChainNoise = noise or CounterChainNoise()
        self.buffer_kept = buffer_kept
        self.device = network.mask_token.device
        lengths = [self.steps, self.fast]
        self.stepper = ChainStepper(network.head, self.config.train_steps, lengths, self.device)
        self.slots = StackSlots(self.config, str(self.device), network.mask_token.dtype)

    def run(self, samples: Sequence[Sample]) -> None:
        """To the end, all in shared steps."""
        while running := [sample for sample in samples if not sample.done]:
            self.step(running)

    @torch.no_grad()
    def step(self, samples: Sequence[Sample]) -> None:
        """One step of each sample, wherever it stands: one forward, then the chains of all its tokens side by side."""
        for sample in samples:
            if sample.opens:
                sample.kept = self.slots.take(1 + sample.guided)
        ordered = sorted(samples, key=lambda sample: sample.reuse)
        guided = [sample for sample in ordered if sample.guided]
        packed, z = self.evaluate(ordered, guided)
        made = self.chains(ordered, packed, z)
        for sample, position, tokens in zip(
            ordered, packed.position.split(packed.counts), made.split(packed.counts[: len(ordered)]), strict=False
        ):
            sample.tokens[position] = tokens
            sample.step += 1
            if not sample.reuse:
                self.slots.give(sample.kept)
                sample.kept = []

    def evaluate(self, ordered: list[Sample], guided: list[Sample]) -> tuple[Packed, Tensor]:
        """z of all wanted tokens, unconditional ones behind."""
        places = [(sample, 0) for sample in ordered] + [(sample, 1) for sample in guided]
        branches = [
            sample.branch(sample.kept[kind] if sample.kept else None, not self.buffer_kept) for sample, kind in places
        ]
        labels = [self.config.null_class if kind else sample.label for sample, kind in places]
        packed = pack(self.config, branches)
        network = self.network
        encoded = network.encode(
            packed.values,
            packed.encoder_slot,
            packed.branch,
            network.condition(torch.tensor(labels, device=self.device)),
            Ragged(packed.encoder_spans, self.slots.encoder),
        )
        decoder = Ragged(packed.decoder_spans, self.slots.decoder)
        decoded = network.decode(encoded, packed.source, packed.decoder_slot, decoder)
        return packed, network.place(decoded[packed.wanted], packed.position)

    def chains(self, ordered: list[Sample], packed: Packed, z: Tensor) -> Tensor:
        """The tokens [N, C] at the end of their chains."""
        counts = torch.tensor(packed.counts[: len(ordered)], device=self.device)
        total = int(counts.sum())

        def each(values: list[float] | list[int]) -> Tensor:
            return torch.tensor(values, device=self.device).repeat_interleave(counts)

        key, position = each([sample.key for sample in ordered]), packed.position[:total]
        length = each([self.fast if sample.reuse else self.steps for sample in ordered])
        guided = each([int(sample.guided) for sample in ordered]).nonzero().squeeze(-1)
        condition = self.stepper.condition(z)
        last = self.stepper.chains.rows(length.tolist(), (length - 1).tolist())
        rows = ChainRows(
            row=last,
            condition=condition[:total],
            temperature=each([sample.temperature for sample in ordered]),
            guided=guided,
            unconditional=condition[total:],
            scale=each([sample.scales[sample.step] for sample in ordered])[guided],
        )
        channels = self.config.token_channels
        x = self.noise.normal(key, position, torch.zeros_like(key), channels)
        for at in range(int(length.max())):
            live = (length > at).nonzero().squeeze(-1)
            step = torch.full_like(live, at + 1)
            draw = self.noise.normal(key[live], position[live], step, channels)
            x[live] = self.stepper.advance(x[live], rows.take(live, last[live] - at), draw)
        return x
