"""From logits to choices, batched over rows with a parameter per row. Pure."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def guide(cond: Tensor, uncond: Tensor, scale: Tensor) -> Tensor:
    """uncond + g * (cond - uncond) with g per row: [R, K], [R, K], [R] -> [R, K]."""
    return uncond + scale.unsqueeze(-1) * (cond - uncond)


def filter_logits(logits: Tensor, top_k: Tensor, top_p: Tensor) -> Tensor:
    """Keep the `top_k` [R] best (0: all) and the smallest set whose probability reaches `top_p` [R] (1: all).

    The best entry always stays; ties at the edge go to the lowest index.
    """
    ranked = _falling(logits)
    place = torch.arange(logits.shape[-1], device=logits.device)
    keep = (place < top_k.unsqueeze(-1)) | (top_k.unsqueeze(-1) == 0)
    mass = ranked.masked_fill(~keep, -torch.inf).softmax(dim=-1).cumsum(dim=-1)
    before = F.pad(mass[:, :-1], (1, 0))
    keep &= (before < top_p.unsqueeze(-1)) | (top_p.unsqueeze(-1) >= 1.0)
    count = keep.sum(dim=-1, keepdim=True).clamp(min=1)
    edge = ranked.gather(-1, count - 1)
    kept, level = logits > edge, logits == edge
    spare = count - kept.sum(dim=-1, keepdim=True)
    if bool((level.sum(dim=-1, keepdim=True) > spare).any()):
        level &= level.cumsum(dim=-1) <= spare
    return logits.masked_fill(~(kept | level), -torch.inf)


def _falling(logits: Tensor) -> Tensor:
    """Sorted by falling value. On a CPU by NumPy, whose vector instructions sort rows many times faster."""
    if logits.device.type != "cpu":
        return logits.sort(dim=-1, descending=True).values
    return torch.from_numpy(np.sort(logits.detach().numpy(), axis=-1)).flip(-1)


def log_prob(logits: Tensor, drawn: Tensor) -> Tensor:
    """log softmax(logits [R, K]) at drawn [R]."""
    return logits.log_softmax(dim=-1).gather(-1, drawn.unsqueeze(-1)).squeeze(-1)


def rank(scores: Tensor) -> Tensor:
    """Positions by falling score, ties to the lowest index: [S, L] -> [S, L]."""
    return scores.argsort(dim=-1, descending=True, stable=True)
