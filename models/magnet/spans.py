"""What a step masks: neighbouring tokens together (arXiv 2401.04577), as their scores rank them.

The higher a score, the sooner its tokens are masked again; `FIXED` is that of a decision that stays. Ties go to the
lowest index, where the published code leaves them to an unstable sort.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from models.decoding.sampling import rank
from models.magnet.decoding import Decoding, Scoring

FIXED = -1e4


class Spans(Protocol):
    """A way to arrange spans over a stream of T tokens; what is known beforehand is bool [T]."""

    def length(self, tokens: int) -> int:
        """Of `tokens`, how many can be made: 0 where a span does not fit."""
        ...

    def units(self, known: Tensor) -> int:
        """How much there is to be made, in the unit of `select`."""
        ...

    def start(self, known: Tensor) -> Tensor:
        """The scores before the first step."""
        ...

    def select(self, scores: Tensor, count: int, length: int) -> Tensor:
        """The tokens that a step masks, about `count` units: bool [T], of `length` tokens."""
        ...

    def asked(self, selected: Tensor, hidden: Tensor) -> Tensor:
        """The tokens that are drawn and scored, where `hidden` ones show the mask id: bool [T]."""
        ...

    def scores(self, probability: Tensor, asked: Tensor) -> Tensor:
        """The next step's scores from the probabilities [T] of drawn tokens; others are not read."""
        ...


@dataclass(frozen=True)
class Chunks:
    """Spans side by side ("nonoverlap"): a unit is one of them, and their number is whole.

    One that is known in part is made, its known tokens stay, but what was drawn in their place counts in its score.
    The last one of an edit may be shorter.
    """

    span: int
    scoring: Scoring

    def length(self, tokens: int) -> int:
        return tokens - tokens % self.span

    def units(self, known: Tensor) -> int:
        return int((~self._whole(known)).sum())

    def start(self, known: Tensor) -> Tensor:
        whole = self._whole(known)
        return torch.zeros(len(whole)).masked_fill(whole, FIXED)

    def select(self, scores: Tensor, count: int, length: int) -> Tensor:
        chosen = torch.zeros_like(scores, dtype=torch.bool)
        chosen[rank(scores)[:count]] = True
        return chosen.repeat_interleave(self.span)[:length]

    def asked(self, selected: Tensor, hidden: Tensor) -> Tensor:
        return selected

    def scores(self, probability: Tensor, asked: Tensor) -> Tensor:
        p = self._chunks(probability, 1.0 if self.scoring == "prod" else 0.0)
        scores = 1.0 - p.amax(dim=-1) if self.scoring == "max" else -p.log().sum(dim=-1)
        return scores.masked_fill(~self._whole(asked), FIXED)

    def _whole(self, tokens: Tensor) -> Tensor:
        """Which chunks are all in `tokens`."""
        return self._chunks(tokens, True).all(dim=-1)

    def _chunks(self, tokens: Tensor, filling: float | bool) -> Tensor:
        """[chunks, span]; `filling` is what a shorter last one has behind its end."""
        return F.pad(tokens, (0, -len(tokens) % self.span), value=filling).view(-1, self.span)


@dataclass(frozen=True)
class Windows:
    """Spans at every place ("stride1"): a unit is a token. With spans of one, single tokens.

    A step masks the union of the windows with the highest sums, as many as a search by halves finds for `count` tokens:
    the union may be smaller or larger. Every token that shows the mask id is drawn, in the union or not.
    """

    span: int

    def length(self, tokens: int) -> int:
        return tokens if tokens >= self.span else 0

    def units(self, known: Tensor) -> int:
        return int((~known).sum())

    def start(self, known: Tensor) -> Tensor:
        return torch.zeros(len(known)).masked_fill(known, FIXED)

    def select(self, scores: Tensor, count: int, length: int) -> Tensor:
        order = rank(scores.unfold(0, self.span, 1).sum(dim=-1))
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order))
        ends = F.pad(place, (self.span - 1, self.span - 1), value=len(scores))
        cover = ends.unfold(0, self.span, 1).amin(dim=-1)  # [T] the first window, by score, that covers a token
        sizes = F.pad(cover.bincount(minlength=len(order)).cumsum(0), (1, 0))
        return cover < searched(sizes.tolist(), max(count, self.span), self.span)

    def asked(self, selected: Tensor, hidden: Tensor) -> Tensor:
        return hidden

    def scores(self, probability: Tensor, asked: Tensor) -> Tensor:
        return (-probability.log()).masked_fill(~asked, FIXED)


def searched(sizes: Sequence[int], count: int, span: int) -> int:
    """How many windows are united for `count` tokens, when the first u of them cover `sizes`[u].

    As published: a search between count // span and count - span + 1 whose last trial counts, not its best.
    """
    low, high = count // span, count - span + 1
    middle = trial = round((low + high) / 2)  # halves go to the even neighbour
    while low < middle < high:
        trial = middle
        if sizes[middle] > count:
            high = middle
        else:
            low = middle
        middle = round((low + high) / 2)
    return trial


def arranged(decoding: Decoding, span: int) -> Spans:
    """The spans that `decoding` asks for; single tokens have but one arrangement."""
    if decoding.arrangement == "nonoverlap" and span > 1:
        return Chunks(span, decoding.scoring)
    return Windows(span)
