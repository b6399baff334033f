"""MAGNeT (arXiv 2401.04577): a bidirectional transformer that unmasks one codebook stream after the other.

The forward is written over packed rows, so that sequences of any length, codebook and text share the linear layers.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.layers.linear import pad_rows
from models.magnet.config import MAGNeTConfig
from models.magnet.pack import Branch, Packed, pack
from models.magnet.transformer import Block

PERIOD = 10000.0


class MAGNeT(nn.Module):
    """Rows are frames: K ids each, `config.mask_id` where unknown. One codebook's head is evaluated at a time."""

    positions: Tensor

    def __init__(self, config: MAGNeTConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.embeddings = nn.ModuleList(nn.Embedding(config.codebook_size + 1, dim) for _ in range(config.codebooks))
        places = config.length + config.codebooks - 1  # of delayed streams, the twin's
        self.register_buffer("positions", sinusoids(places, dim), persistent=False)
        if config.terms:
            self.terms = nn.Embedding(config.terms, config.text_dim)
        self.text_in = nn.Linear(config.text_dim, dim)
        self.blocks = nn.ModuleList(Block(dim, config.heads, config.mlp_ratio) for _ in range(config.depth))
        self.norm = nn.LayerNorm(dim)
        self.heads = nn.ModuleList(nn.Linear(dim, config.codebook_size, bias=False) for _ in range(config.codebooks))
        self._initialise()

    def _initialise(self) -> None:
        """As published: truncated normal of 1 / sqrt(inputs), in block n divided by sqrt(2 (n + 1))."""
        for table in self.embeddings:
            _truncated(table.weight, self.config.dim**-0.5)  # type: ignore[arg-type]
        for head in self.heads:
            _truncated(head.weight, self.config.dim**-0.5)  # type: ignore[arg-type]
        for at, block in enumerate(self.blocks):
            for layer in (module for module in block.modules() if isinstance(module, nn.Linear)):
                _truncated(layer.weight, (layer.in_features * 2 * (at + 1)) ** -0.5)

    @property
    def device(self) -> torch.device:
        return self.positions.device

    @property
    def dtype(self) -> torch.dtype:
        return self.norm.weight.dtype

    def condition(self, states: Tensor) -> Tensor:
        """Last hidden states of T5, or rows of terms, [N, C] -> text rows [N, D]."""
        out: Tensor = self.text_in(pad_rows(states))
        return out[: len(states)]

    def memory(self, text: Tensor) -> Tensor:
        """Text rows [N, D] -> keys and values of every block, [blocks, 2, N, H, E]; constant through a generation.

        Rows of zeros are pads that the published code attends to: they take weight from the others. Leave them out for
        what a text gives alone; a text of nothing else is None.
        """
        padded = pad_rows(text)
        return torch.stack([block.text_attn.memory(padded)[:, : len(text)] for block in self.blocks])  # type: ignore[union-attr,operator]

    def embed(self, ids: Tensor, position: Tensor) -> Tensor:
        """Packed rows: ids [R, K] at `position` [R] -> [R, D]."""
        rows = self.embeddings[0](ids[:, 0])
        for table, column in zip(self.embeddings[1:], ids.T[1:], strict=True):
            rows = rows + table(column)
        return rows + self.positions[position]

    def trunk(self, packed: Packed) -> Tensor:
        """Rows [R, D] behind all blocks; the last LayerNorm is missing: `logits` applies it where it is needed."""
        x = self.embed(packed.ids, packed.position)
        for at, block in enumerate(self.blocks):
            x = block(x, at, packed.visible)
        return x

    def logits(self, rows: Tensor, codebook: int) -> Tensor:
        """Rows [N, D] of `trunk` -> logits [N, codebook_size]."""
        out: Tensor = self.heads[codebook](pad_rows(self.norm(rows)))
        return out[: len(rows)]

    def evaluate(self, branches: Sequence[Branch]) -> list[Tensor]:
        """Logits [n, codebook_size] of what each branch wants."""
        packed = pack(self.config, branches, self.device)
        features = self.trunk(packed)
        found: dict[int, Tensor] = {}
        for head in packed.heads:
            parts = self.logits(features[head.rows], head.codebook).split(head.counts)
            found.update(zip(head.branches, parts, strict=True))
        return [found[at] for at in range(len(branches))]

    def forward(self, ids: Tensor, codebook: int, texts: Sequence[Tensor | None]) -> Tensor:
        """ids [B, K, T] and, per row, text rows [N, D] or None -> logits of one codebook [B, T, codebook_size]."""
        everything = torch.arange(ids.shape[2], device=ids.device)
        memories = [None if text is None else self.memory(text) for text in texts]
        branches = [Branch(row, codebook, everything, text) for row, text in zip(ids, memories, strict=True)]
        return torch.stack(self.evaluate(branches))


def sinusoids(length: int, dim: int) -> Tensor:
    """Positions [length, dim]: cosines, then sines, in float32 as published."""
    half = dim // 2
    rates = PERIOD ** (torch.arange(half) / (half - 1))
    angles = torch.arange(length).unsqueeze(-1) / rates
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def _truncated(weight: Tensor, std: float) -> None:
    nn.init.trunc_normal_(weight, std=std, a=-3.0 * std, b=3.0 * std)
