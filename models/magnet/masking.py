"""What training hides: spans at random places of one stream, and all streams behind it (arXiv 2401.04577)."""

from functools import lru_cache
from math import pi

import torch
from torch import Tensor


@lru_cache(maxsize=64)
def span_counts(length: int, span: int) -> tuple[int, ...]:
    """How many spans it takes for p = 0 to 100 percent of `length` tokens to be masked on average, overlaps counted."""
    counts = [0]
    spans, left = 1, (length - span) / length  # the share that stays, with so many spans
    for percent in range(1, 101):
        while 1.0 - left < percent / 100:
            left *= max(0, length - span - spans) / (length - spans)
            spans += 1
        counts.append(spans)
    return tuple(counts)


def masked_starts(time: Tensor, length: int, span: int) -> Tensor:
    """Times [B] in [0, 1) -> how many spans to mask [B], at least one: cos(pi/2 t) of all tokens."""
    share = (time * pi * 0.5).cos()
    if span == 1:
        return (length * share).round().long().clamp(min=1)
    counts = torch.tensor(span_counts(length, span), device=time.device)
    return counts[(share * 100).round().long()].clamp(min=1)


def span_mask(uniforms: Tensor, starts: Tensor, span: int) -> Tensor:
    """Masked tokens bool [B, T] from `uniforms` [B, T] and numbers of spans [B], which overlap and end with the stream.

    As published, what sorts the uniforms is read as if it were their ranks: as random, but other places.
    """
    first = uniforms.argsort(dim=-1) < starts.unsqueeze(-1)
    length = first.shape[-1]
    mask = first.clone()
    for shift in range(1, min(span, length)):
        mask[:, shift:] |= first[:, : length - shift]
    return mask


def hidden(ids: Tensor, codebook: int, mask: Tensor, mask_id: int) -> Tensor:
    """ids [B, K, T] as the network sees them: masked [B, T] in stream `codebook`, unknown in all behind it."""
    seen = ids.clone()
    seen[:, codebook] = seen[:, codebook].masked_fill(mask, mask_id)
    seen[:, codebook + 1 :] = mask_id
    return seen
