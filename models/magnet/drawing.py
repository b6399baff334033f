"""From guided logits to tokens and the probabilities that rank them, rows of any sequences side by side. Pure."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.decoding.noise import Noise, Purpose, Rows
from models.decoding.sampling import filter_logits


@dataclass(frozen=True)
class Draws:
    """How each of N rows is drawn."""

    temperature: Tensor  # [N], above 0
    top_k: Tensor  # [N] 0: all
    top_p: Tensor  # [N] 1: all
    greedy: Tensor  # [N] bool
    narrow: bool  # whether any row is cut


def draw(logits: Tensor, draws: Draws, noise: Noise, rows: Rows) -> tuple[Tensor, Tensor]:
    """logits float32 [N, C] -> tokens [N] and their probabilities [N].

    As published, the probability is that before a cut, but for a cut by top-k alone, which counts. Where the published
    code draws from every token as likely as the k-th, and takes one more where the mass before it is exactly p, this
    does not; of top-k and top-p it follows one, this both.
    """
    heated = logits / draws.temperature.unsqueeze(-1)
    narrowed = filter_logits(heated, draws.top_k, draws.top_p) if draws.narrow else heated
    token = torch.where(draws.greedy, logits.argmax(dim=-1), noise.categorical(narrowed, rows, Purpose.TOKEN))
    counts = (draws.top_k > 0) & (draws.top_p >= 1.0) & ~draws.greedy
    shares = torch.where(counts.unsqueeze(-1), narrowed, heated).softmax(dim=-1)
    return token, shares.gather(-1, token.unsqueeze(-1)).squeeze(-1)


def rescored(own: Tensor, external: Tensor, weight: float) -> Tensor:
    """Probabilities that rank tokens when another model has read them, too (arXiv 2401.04577, section 3.4)."""
    return weight * external + (1.0 - weight) * own
