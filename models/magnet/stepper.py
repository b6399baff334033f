"""One step of the published sampler of MAGNeT, for any mix of sequences at different codebooks and steps."""

from collections.abc import Callable
from collections.abc import Sequence as Seq

import torch
from torch import Tensor

from models.decoding.failure import NotFinite
from models.decoding.noise import CounterNoise, Noise, Rows
from models.decoding.sampling import guide
from models.magnet.drawing import Draws, draw, rescored
from models.magnet.kept import Kept
from models.magnet.network import MAGNeT
from models.magnet.sample import Sample, Turn

Probe = Callable[[Turn, Tensor], None]  # guided logits [n, C] of what it asked for
Reader = Callable[[Seq[Turn], Seq[Tensor]], list[Tensor]]  # ids [K, T] after drawing -> probabilities [T] of each


class Stepper:
    """`reader` is another model's view of what was drawn, for samples that are rescored; `probe` sees every step."""

    def __init__(self, network: MAGNeT, noise: Noise | None = None, reader: Reader | None = None) -> None:
        self.network = network
        self.noise: Noise = noise or CounterNoise()
        self.reader = reader
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
        drawn = [_drawn(turn, token) for turn, token in zip(turns, tokens, strict=True)]
        shares = self.judge(turns, drawn, probabilities)
        for turn, ids, share in zip(turns, drawn, shares, strict=True):
            self.commit(turn, ids, share)

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

    def judge(self, turns: Seq[Turn], drawn: Seq[Tensor], probabilities: Seq[Tensor]) -> list[Tensor]:
        """What ranks the tokens of each turn, [T], from their probabilities [n] and, of some, another model's."""
        shares = [
            torch.zeros(ids.shape[1]).index_copy(0, turn.asked, probability)
            for turn, ids, probability in zip(turns, drawn, probabilities, strict=True)
        ]
        some = [at for at, turn in enumerate(turns) if turn.sample.decoding.rescoring > 0.0]
        if self.reader is not None and some:
            views = self.reader([turns[at] for at in some], [drawn[at] for at in some])
            if wrong := [at for at, view in zip(some, views, strict=True) if not view.isfinite().all()]:
                raise NotFinite(wrong)
            for at, view in zip(some, views, strict=True):
                shares[at] = rescored(shares[at], view, turns[at].sample.decoding.rescoring)
        return shares

    def commit(self, turn: Turn, ids: Tensor, shares: Tensor) -> None:
        """ids [K, T] with what was drawn."""
        sample = turn.sample
        if sample.full:  # what other branches had kept is of another codebook
            sample.kept = sample.kept[: sample.branches]
        for kept in sample.kept[: sample.branches]:
            kept.ids = turn.ids
        sample.ids = ids
        sample.written[turn.codebook].masked_fill_(turn.hidden, sample.step + 1)
        sample.scores = sample.spans.scores(shares, torch.zeros_like(turn.hidden).index_fill(0, turn.asked, True))
        sample.step += 1


def _drawn(turn: Turn, token: Tensor) -> Tensor:
    """The ids [K, T] of a turn once its hidden tokens are filled with those that were drawn for what it asked, [n]."""
    ids = turn.ids.clone()
    fresh = torch.zeros_like(ids[0]).index_copy(0, turn.asked, token)
    ids[turn.codebook] = torch.where(turn.hidden, fresh, ids[turn.codebook])
    return ids
