"""The U-ViT of AutoNAT / MaskGIT-r: a pre-LN bidirectional transformer with long skips over token ids.

Module names follow the official `nnet_ema.pth`. The forward is written over packed rows, so that sequences of any
row count share the linear layers; who attends to whom is the caller's `attend`.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.linear import GeluLinear, ResidualLinear
from models.maskgit.config import UViTConfig

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]  # (block, q, k, v [R, H, E]) -> [R, H, E]


class Embedding(nn.Module):
    """Word + position, then LayerNorm."""

    def __init__(self, words: int, positions: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(words, dim)
        self.position_embeddings = nn.Embedding(positions, dim)
        self.LayerNorm = nn.LayerNorm(dim, eps=1e-6)
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        return self.place(self.word_embeddings(ids), positions)

    def place(self, words: Tensor, positions: Tensor) -> Tensor:
        """Rows of words [..., D] at `positions` [...]."""
        out: Tensor = self.dropout(self.LayerNorm(words + self.position_embeddings(positions)))
        return out


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int, qkv_bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = ResidualLinear(dim, dim)

    def forward(self, x: Tensor, residual: Tensor, block: int, attend: Attend) -> Tensor:
        q, k, v = self.qkv(x).view(len(x), 3, self.heads, -1).unbind(1)  # [R, H, E] each
        out: Tensor = self.proj(attend(block, q, k, v).reshape(len(x), -1), residual)
        return out


class Mlp(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = GeluLinear(dim, hidden)
        self.fc2 = ResidualLinear(hidden, dim)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        out: Tensor = self.fc2(self.fc1(x), residual)
        return out


class Block(nn.Module):
    def __init__(self, config: UViTConfig, skip: bool) -> None:
        super().__init__()
        dim = config.dim
        if skip:
            self.skip_linear = nn.Linear(2 * dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, config.heads, config.qkv_bias)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * config.mlp_ratio))

    def forward(self, x: Tensor, block: int, attend: Attend, skip: Tensor | None = None) -> Tensor:
        if skip is not None:
            x = self.skip_linear(torch.cat([x, skip], dim=-1))
        x = self.attn(self.norm1(x), x, block, attend)
        out: Tensor = self.mlp(self.norm2(x), x)
        return out


class MlmHead(nn.Module):
    """Dense, GELU, LayerNorm; the (detached) word embedding transposed and `bias` follow in `UViT.head`."""

    def __init__(self, dim: int, words: int) -> None:
        super().__init__()
        self.fc = GeluLinear(dim, dim)
        self.ln = nn.LayerNorm(dim)
        self.bias = nn.Parameter(torch.zeros(1, 1, words))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.ln(self.fc(x))
        return out


class UViT(nn.Module):
    """Masked-token network. ids hold `config.mask_id` where unknown; labels are `config.label` of a condition."""

    def __init__(self, config: UViTConfig) -> None:
        super().__init__()
        self.config = config
        half = config.depth // 2
        self.token_emb = Embedding(config.codebook_size + 1, config.length, config.dim, config.dropout)
        self.context_embed: Embedding = Embedding(config.num_classes + 1, 1, config.dim, 0.0)
        self.in_blocks = nn.ModuleList(Block(config, skip=False) for _ in range(half))
        self.mid_block = Block(config, skip=False)
        self.out_blocks = nn.ModuleList(Block(config, skip=True) for _ in range(half))
        self.norm = nn.LayerNorm(config.dim)
        self.mlm_layer = MlmHead(config.dim, config.codebook_size + 1)
        self.apply(_initialise)

    @property
    def blocks(self) -> int:
        return self.config.depth + 1

    def embed_tokens(self, ids: Tensor, positions: Tensor) -> Tensor:
        """ids, positions [...] -> rows [..., D]."""
        rows: Tensor = self.token_emb(ids, positions)
        return rows

    def condition(self, labels: Tensor) -> Tensor:
        """What labels mean: classes [...], or terms [..., W] of captions (-1: none) whose rows add up -> [..., D]."""
        table = self.context_embed.word_embeddings
        if not self.config.words:
            out: Tensor = table(labels)
            return out
        return (table(labels.clamp(min=0)) * (labels >= 0).unsqueeze(-1)).sum(dim=-2)

    def embed_condition(self, conditions: Tensor) -> Tensor:
        """conditions [..., D] -> the condition rows [..., D]."""
        first = torch.zeros(conditions.shape[:-1], dtype=torch.long, device=conditions.device)
        return self.context_embed.place(conditions, first)

    def embed(self, ids: Tensor, positions: Tensor, starts: Tensor, conditions: Tensor) -> Tensor:
        """Packed rows [R, D]: tokens `ids` at `positions` [R], `conditions` [B, D] at `starts` [B]."""
        rows = self.embed_tokens(ids, positions)
        rows[starts] = self.embed_condition(conditions)
        return rows

    def trunk(self, x: Tensor, attend: Attend) -> Tensor:
        """Packed rows [R, D] through all blocks; blocks are numbered in, mid, out."""
        skips: list[Tensor] = []
        block = 0
        for layer in self.in_blocks:
            x = layer(x, block, attend)
            skips.append(x)
            block += 1
        x = self.mid_block(x, block, attend)
        for layer in self.out_blocks:
            block += 1
            x = layer(x, block, attend, skips.pop())
        out: Tensor = self.norm(x)
        return out

    @property
    def tied(self) -> tuple[Tensor, Tensor]:
        """Weight [K, D] and bias [K] of the last projection."""
        size = self.config.codebook_size
        table = self.token_emb.word_embeddings.weight.detach()
        return table[:size], self.mlm_layer.bias.view(-1)[:size]

    def head(self, rows: Tensor) -> Tensor:
        """rows [..., D] -> logits over the codebook [..., K]."""
        return F.linear(self.mlm_layer(rows), *self.tied)

    def forward(self, ids: Tensor, labels: Tensor) -> Tensor:
        """ids [B, L], labels [B] or [B, W] -> logits [B, L, K]: the plain dense form."""
        return self.head(self.rows(ids, labels))

    def rows(self, ids: Tensor, labels: Tensor) -> Tensor:
        """What the head reads, [B, L, D]."""
        b, length = ids.shape
        positions = torch.arange(length, device=ids.device).expand(b, length)
        x = torch.cat([self.embed_condition(self.condition(labels))[:, None], self.embed_tokens(ids, positions)], dim=1)

        def attend(block: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            q, k, v = (t.view(b, length + 1, *t.shape[1:]).transpose(1, 2) for t in (q, k, v))
            out = F.scaled_dot_product_attention(q, k, v)  # [B, H, L+1, E]
            return out.transpose(1, 2).flatten(0, 1)

        return self.trunk(x.flatten(0, 1), attend).view(b, length + 1, -1)[:, 1:]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.trunc_normal_(module.weight, std=0.02, a=-0.04, b=0.04)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
