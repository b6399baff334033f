"""The pre-LN block of MAGNeT over packed rows: self attention, attention to a text, MLP. No linear layer has a bias.

Who attends to whom is the caller's `Visible`. Rows without a text skip the second part: zero keys and values, which a
null text is, would add exactly zero.
"""

from typing import Protocol

import torch
from torch import Tensor, nn

from models.layers.linear import GeluLinear, ResidualLinear


class Visible(Protocol):
    """What each packed row sees. The first `texted` rows, and none behind them, may see a text."""

    texted: int

    def rows(self, block: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v [R, H, E] -> [R, H, E]."""
        ...

    def text(self, block: int, q: Tensor) -> Tensor:
        """q [texted, H, E] -> [texted, H, E]."""
        ...


class SelfAttention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = ResidualLinear(dim, dim, bias=False)

    def forward(self, x: Tensor, residual: Tensor, block: int, visible: Visible) -> Tensor:
        q, k, v = self.qkv(x).view(len(x), 3, self.heads, -1).unbind(1)  # [R, H, E] each
        out: Tensor = self.proj(visible.rows(block, q, k, v).reshape(len(x), -1), residual)
        return out


class TextAttention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(dim, dim, bias=False)
        self.kv = nn.Linear(dim, 2 * dim, bias=False)
        self.proj = ResidualLinear(dim, dim, bias=False)

    def forward(self, x: Tensor, residual: Tensor, block: int, visible: Visible) -> Tensor:
        q = self.q(x).view(len(x), self.heads, -1)  # [R, H, E]
        out: Tensor = self.proj(visible.text(block, q).reshape(len(x), -1), residual)
        return out

    def memory(self, text: Tensor) -> Tensor:
        """Text rows [N, D] -> their keys and values [2, N, H, E]."""
        out: Tensor = self.kv(text).view(len(text), 2, self.heads, -1).transpose(0, 1)
        return out


class Mlp(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = GeluLinear(dim, hidden, bias=False)
        self.fc2 = ResidualLinear(hidden, dim, bias=False)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        out: Tensor = self.fc2(self.fc1(x), residual)
        return out


class Block(nn.Module):
    def __init__(self, dim: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = SelfAttention(dim, heads)
        self.norm_text = nn.LayerNorm(dim)
        self.text_attn = TextAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))

    def forward(self, x: Tensor, block: int, visible: Visible) -> Tensor:
        x = self.attn(self.norm1(x), x, block, visible)
        if visible.texted:
            with_text, without = x[: visible.texted], x[visible.texted :]
            x = torch.cat([self.text_attn(self.norm_text(with_text), with_text, block, visible), without])
        out: Tensor = self.mlp(self.norm2(x), x)
        return out
