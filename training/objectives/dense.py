"""A MAGNeT under training: rows of equal length, attention written out."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.magnet.network import MAGNeT


def features_of(network: MAGNeT, ids: Tensor, seen: Tensor | None, labels: Tensor) -> Tensor:
    """Rows [B * T, D] behind all blocks, for ids [B, K, T]. seen: who sees whom, bool [T, T] (None: all); labels [n, W]
    are the terms (-1: none) of the first n.
    """
    batch, _, length = ids.shape
    positions = torch.arange(length, device=ids.device).repeat(batch)
    visible = Dense.of(network, batch, length, seen, labels)
    x = network.embed(ids.transpose(1, 2).flatten(0, 1), positions)
    for at, block in enumerate(network.blocks):
        x = block(x, at, visible)
    return x


def neighbours(length: int, context: int, device: torch.device) -> Tensor:
    """Who is near whom, bool [length, length]."""
    at = torch.arange(length, device=device)
    return (at - at.unsqueeze(-1)).abs() <= context


@dataclass(frozen=True)
class Dense:
    """Attention of `batch` sequences of `length` rows, of which the first have texts of equal width.

    It is written out: its bf16 backward on CPU is several times faster than the fused one's.
    """

    batch: int
    length: int
    seen: Tensor | None  # bool [T, T]
    texts: Sequence[Tensor]  # of each block: keys and values [2, n, W, H, E]
    there: Tensor  # bool [n, W]
    texted: int

    @classmethod
    def of(cls, network: MAGNeT, batch: int, length: int, seen: Tensor | None, labels: Tensor) -> "Dense":
        config = network.config
        there = labels >= 0
        texts: list[Tensor] = []
        if len(labels):
            rows = network.text_in(network.terms(labels.clamp(min=0))) * there.unsqueeze(-1)  # [n, W, D]
            for block in network.blocks:
                kv = block.text_attn.kv(rows)  # type: ignore[union-attr,operator]
                texts.append(kv.unflatten(-1, (2, config.heads, -1)).permute(2, 0, 1, 3, 4))
        return cls(batch, length, seen, texts, there, len(labels) * length)

    def rows(self, block: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (t.unflatten(0, (self.batch, self.length)).transpose(1, 2) for t in (q, k, v))  # [B, H, T, E]
        scores = q @ k.mT * q.shape[-1] ** -0.5
        if self.seen is not None:
            scores = scores.masked_fill(~self.seen, float("-inf"))
        return (scores.softmax(dim=-1).to(v.dtype) @ v).transpose(1, 2).flatten(0, 1)

    def text(self, block: int, q: Tensor) -> Tensor:
        """A sequence whose words were all dropped sees zeros, which is no text."""
        k, v = self.texts[block].transpose(2, 3)  # [n, H, W, E]
        q = q.unflatten(0, (len(k), self.length)).transpose(1, 2)
        scores = (q @ k.mT * q.shape[-1] ** -0.5).masked_fill(~self.there[:, None, None], -1e4)
        weights = scores.softmax(dim=-1).to(v.dtype) * self.there[:, None, None]
        return (weights @ v).transpose(1, 2).flatten(0, 1)
