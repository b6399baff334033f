"""One step of the published sampler of MAGNeT, for any mix of sequences at different codebooks and steps."""

from collections.abc import Callable
from collections.abc import Sequence as Seq

import torch
from torch import Tensor

from models.decoding.noise import CounterNoise, Noise, Rows
from models.decoding.sampling import guide
from models.magnet.drawing import Draws, draw, rescored
from models.magnet.failure import NotFinite
from models.magnet.kept import Kept
from models.magnet.network import MAGNeT
from models.magnet.sample import Sample, Turn

Probe = Callable[[Turn, Tensor], None]  # guided logits [n, C] of what it asked for
Reader = Callable[[Sample, Tensor], Tensor]  # ids [K, T] after drawing -> probabilities [T] by another model


class Stepper:
    """`reader` and its `weight` rescore what was drawn; `probe` sees every step's logits."""

    def __init__(
        self, network: MAGNeT, noise: Noise | None = None, reader: Reader | None = None, weight: float = 0.0
    ) -> None:
        self.network = network
        self.noise: Noise = noise or CounterNoise()
        self.reader = reader
        self.weight = weight
        self.probe: Probe | None = None

    @torch.inference_mode()
    def step(self, samples: Seq[Sample]) -> None:
        """One step of each sample, wherever it stands, in one forward. Raises NotFinite, and no sample has changed."""
        self._keep(samples)
        turns = [Turn.of(sample, self.network.config.mask_id) for sample in samples]
        logits = self.evaluate(turns)
        if wrong := [at for at, part in enumerate(logits) if not part.sum().isfinite()]:
            raise NotFinite(wrong)
        if self.probe is not None:
            for turn, part in zip(turns, logits, strict=True):
                self.probe(turn, part)
        tokens, probabilities = self.draw(turns, torch.cat(logits))
        for turn, token, probability in zip(turns, tokens, probabilities, strict=True):
            self.commit(turn, token, probability)

    def _keep(self, samples: Seq[Sample]) -> None:
        """Room for the keys and values of sequences some of whose steps reuse them."""
        network = self.network
        for sample in samples:
            if sample.decoding.reuse and len(sample.kept) < sample.branches:
                missing = sample.branches - len(sample.kept)
                fresh = [Kept.empty(network.config, sample.ids, network.device, network.dtype) for _ in range(missing)]
                sample.kept = (*sample.kept, *fresh)

    def evaluate(self, turns: Seq[Turn]) -> list[Tensor]:
        """Guided logits, float32 [n, C] for each turn."""
        found = iter(self.network.evaluate([branch for turn in turns for branch in turn.branches]))
        merged: list[Tensor] = []
        for turn in turns:
            conditional, *free = [next(found).float() for _ in turn.branches]
            scale = conditional.new_full((len(conditional),), turn.scale)
            merged.append(guide(conditional, free[0], scale) if free else conditional)
        return merged

    def draw(self, turns: Seq[Turn], logits: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Tokens and their probabilities, on the CPU, for each turn. Noise knows a token by its place in [K, T]."""
        counts = [len(turn.asked) for turn in turns]
        of = torch.arange(len(turns)).repeat_interleave(torch.tensor(counts))

        def each(values: Seq[float]) -> Tensor:
            return torch.tensor(values)[of].to(logits.device)

        decodings = [turn.sample.decoding for turn in turns]
        draws = Draws(
            temperature=each([turn.temperature for turn in turns]),
            top_k=each([decoding.top_k for decoding in decodings]),
            top_p=each([decoding.top_p for decoding in decodings]),
            greedy=each([decoding.greedy for decoding in decodings]),
            narrow=any(decoding.top_k or decoding.top_p < 1.0 for decoding in decodings),
        )
        position = torch.cat([turn.codebook * turn.ids.shape[1] + turn.asked for turn in turns])
        rows = Rows(
            sequence=of.to(logits.device),
            key=each([turn.sample.key for turn in turns]),
            step=each([turn.sample.step for turn in turns]),
            position=position.to(logits.device),
        )
        token, probability = draw(logits, draws, self.noise, rows)
        return list(token.cpu().split(counts)), list(probability.cpu().split(counts))

    def commit(self, turn: Turn, token: Tensor, probability: Tensor) -> None:
        sample, asked = turn.sample, turn.asked
        for kept in sample.kept[: sample.branches]:
            kept.ids = turn.ids.clone()
        drawn, shares = torch.zeros_like(turn.ids[0]), torch.zeros(turn.ids.shape[1])
        drawn[asked], shares[asked] = token, probability
        turn.ids[turn.codebook] = torch.where(turn.hidden, drawn, turn.ids[turn.codebook])
        if self.reader is not None:
            shares = rescored(shares, self.reader(sample, turn.ids), self.weight)
        sample.ids = turn.ids
        sample.written[turn.codebook].masked_fill_(turn.hidden, sample.step + 1)
        sample.scores = sample.spans.scores(shares, torch.zeros_like(turn.hidden).index_fill(0, asked, True))
        sample.step += 1
