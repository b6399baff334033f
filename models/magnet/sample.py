"""A sequence of the published sampler, and its next step up to what the network is asked."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.magnet.config import MAGNeTConfig
from models.magnet.decoding import Decoding
from models.magnet.guidance import scales
from models.magnet.kept import Kept
from models.magnet.pack import Branch
from models.magnet.schedule import masked_counts, masked_shares, temperatures
from models.magnet.spans import Spans, arranged


@dataclass(eq=False)
class Sample:
    """A sequence. Its state lies on the CPU; `text` (`MAGNeT.memory`, or None) with the network, `judged_text` with the
    model that judges it.

    ids [K, T]: the mask id where unknown; known bool [T]: frames that were given, in all codebooks, so that the first
    one's steps see what training never shows them; scores: of the spans of the codebook that is being made;
    written int16 [K, T]: the step, from 1 on, that decided a token last; kept: of each branch, where some steps reuse.
    """

    key: int
    decoding: Decoding
    text: Tensor | None
    spans: Spans
    ids: Tensor
    known: Tensor
    scores: Tensor
    written: Tensor
    step: int = 0
    kept: tuple[Kept, ...] = ()
    judged_text: Tensor | None = None

    @classmethod
    def begin(
        cls,
        config: MAGNeTConfig,
        decoding: Decoding,
        key: int,
        text: Tensor | None = None,
        given: Tensor | None = None,
        known: Tensor | None = None,
        length: int | None = None,
        trimmed: bool = True,
    ) -> "Sample":
        """`length` tokens, where `trimmed` as far as spans fit into them; by default as many as the network has places.

        given [K, T'] and known [T'] (default: all of these) may be shorter. ValueError where nothing is to be made.
        """
        spans = arranged(decoding, config.span)
        length = config.length if length is None else length
        length = spans.length(length) if trimmed else length
        ids = torch.full((config.codebooks, length), config.mask_id)
        kept = torch.zeros(length, dtype=torch.bool)
        if given is not None:
            until = min(length, given.shape[1])
            kept[:until] = True if known is None else known[:until]
            ids[:, :until] = torch.where(kept[:until], given[:, :until], config.mask_id)
        if kept.all():
            raise ValueError(f"of {length} tokens none is to be made")
        return cls(key, decoding, text, spans, ids, kept, spans.start(kept), torch.zeros_like(ids, dtype=torch.int16))

    @property
    def branches(self) -> int:
        """Of the next step: with the text, then without; a scale of exactly 1 needs the first alone."""
        codebook, step = self.decoding.stage(self.step)
        free = self.scale == 1.0 or not self.decoding.guided(self.decoding.steps[codebook], step)
        return 1 if self.text is None or free else 2

    @property
    def full(self) -> bool:
        """Whether the next step evaluates all rows."""
        return self.decoding.full(self.decoding.stage(self.step)[1])

    @property
    def rows(self) -> int:
        """That the next step evaluates, of each branch: at most."""
        codebook, step = self.decoding.stage(self.step)
        if self.decoding.full(step):
            return self.ids.shape[1]
        units = self.spans.units(self.known)
        share = masked_counts(self.decoding.steps[codebook], units)[step - 1] / units
        return round(share * self.ids.shape[1])

    @property
    def scale(self) -> float:
        """Guidance of the next step."""
        codebook, step = self.decoding.stage(self.step)
        return scales(masked_shares(self.decoding.steps[codebook]), self.decoding.guidance)[step]

    @property
    def done(self) -> bool:
        return self.step == self.decoding.total


@dataclass(frozen=True)
class Turn:
    """One step of a sample, from masking to drawing.

    ids [K, T] are what the network sees; asked [n]: the positions that are drawn and scored; hidden bool [T]: those
    that take what was drawn.
    """

    sample: Sample
    codebook: int
    ids: Tensor
    hidden: Tensor
    asked: Tensor
    scale: float
    temperature: float

    @classmethod
    def of(cls, sample: Sample, mask_id: int) -> "Turn":
        decoding, known, spans = sample.decoding, sample.known, sample.spans
        codebook, step = decoding.stage(sample.step)
        steps = decoding.steps[codebook]
        scores = sample.scores if step else spans.start(known)
        selected = spans.select(scores, masked_counts(steps, spans.units(known))[step], len(known))
        ids = sample.ids.clone()
        ids[codebook, selected & ~known] = mask_id
        hidden = ids[codebook] == mask_id
        return cls(
            sample=sample,
            codebook=codebook,
            ids=ids,
            hidden=hidden,
            asked=spans.asked(selected, hidden).nonzero().squeeze(-1),
            scale=sample.scale,
            temperature=temperatures(steps, decoding.temperature, decoding.anneal)[step],
        )

    @property
    def branches(self) -> list[Branch]:
        """As many as `Sample.branches`."""
        texts = (self.sample.text, None)[: self.sample.branches]
        kept = self.sample.kept or (None, None)
        return [
            Branch(self.ids, self.codebook, self.asked, text, own, self._rows(own))
            for text, own in zip(texts, kept, strict=False)
        ]

    def _rows(self, kept: Kept | None) -> Tensor | None:
        """The rows that a cheap step evaluates."""
        if kept is None or self.sample.full:
            return None
        return kept.stale(self.ids).index_fill(0, self.asked, True).nonzero().squeeze(-1)
