"""Streams of codebooks, each one row later than the one before it (MusicGen, arXiv 2306.05284, "delay"). Pure.

Row r shows frame r - 1 - k of codebook k, and tells frame r - k of it: T + K - 1 rows for T frames. What lies outside
of a stream shows the mask id.
"""

import torch
from torch import Tensor


def delayed(ids: Tensor, mask_id: int) -> Tensor:
    """ids [..., K, T] -> what rows show, [..., K, T + K - 1]."""
    codebooks, frames = ids.shape[-2:]
    rows = torch.full((*ids.shape[:-1], frames + codebooks - 1), mask_id, dtype=ids.dtype, device=ids.device)
    for codebook in range(codebooks):
        until = min(frames, frames + codebooks - 2 - codebook)  # the last ones have no row that could show them
        rows[..., codebook, codebook + 1 : codebook + 1 + until] = ids[..., codebook, :until]
    return rows


def shown(ids: Tensor, row: int, mask_id: int) -> Tensor:
    """The column [K] of `delayed` that follows from ids [K, T]."""
    frame = row - 1 - torch.arange(len(ids))
    inside = (frame >= 0) & (frame < ids.shape[1])
    return torch.where(inside, ids[torch.arange(len(ids)), frame.clamp(0, ids.shape[1] - 1)], mask_id)


def told(row: int, codebooks: int, frames: int) -> list[tuple[int, int]]:
    """(codebook, frame) that a row tells."""
    return [(k, row - k) for k in range(codebooks) if 0 <= row - k < frames]
