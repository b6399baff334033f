"""From logits to choices, batched over rows with a parameter per row. Pure."""

import torch
from torch import Tensor


def guide(cond: Tensor, uncond: Tensor, scale: Tensor) -> Tensor:
    """uncond + g * (cond - uncond) with g per row: [R, K], [R, K], [R] -> [R, K]."""
    return uncond + scale.unsqueeze(-1) * (cond - uncond)


def filter_logits(logits: Tensor, top_k: Tensor, top_p: Tensor) -> Tensor:
    """Keep the `top_k` [R] best (0: all) and the smallest set whose probability reaches `top_p` [R] (1: all).

    The best entry always stays; ties at the edge go to the lowest index.
    """
    ranked, order = logits.sort(dim=-1, descending=True, stable=True)
    place = torch.arange(logits.shape[-1], device=logits.device)
    keep = (place < top_k.unsqueeze(-1)) | (top_k.unsqueeze(-1) == 0)
    mass = ranked.masked_fill(~keep, -torch.inf).softmax(dim=-1).cumsum(dim=-1)
    before = torch.cat([torch.zeros_like(mass[:, :1]), mass[:, :-1]], dim=-1)
    keep &= (before < top_p.unsqueeze(-1)) | (top_p.unsqueeze(-1) >= 1.0)
    keep[:, 0] = True
    return torch.full_like(logits, -torch.inf).scatter_(-1, order, ranked.masked_fill(~keep, -torch.inf))


def log_prob(logits: Tensor, drawn: Tensor) -> Tensor:
    """log softmax(logits [R, K]) at drawn [R]."""
    return logits.log_softmax(dim=-1).gather(-1, drawn.unsqueeze(-1)).squeeze(-1)


def rank(scores: Tensor) -> Tensor:
    """Positions by falling score, ties to the lowest index: [S, L] -> [S, L]."""
    return scores.argsort(dim=-1, descending=True, stable=True)
