"""The pre-LN ViT block of both stacks, over packed rows; who attends to whom is the caller's `attend`."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.linear import GeluLinear, ResidualLinear

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]  # (block, q, k, v [R, H, E]) -> [R, H, E]


class DroppedLinear(ResidualLinear):
    """A linear layer whose output passes dropout before it joins the residual stream."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__(inputs, outputs)
        self.dropout = dropout

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:  # type: ignore[override]
        return F.dropout(F.linear(x, self.weight, self.bias), self.dropout, self.training) + residual


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = DroppedLinear(dim, dim, dropout)

    def forward(self, x: Tensor, residual: Tensor, block: int, attend: Attend) -> Tensor:
        q, k, v = self.qkv(x).view(len(x), 3, self.heads, -1).unbind(1)  # [R, H, E] each
        out: Tensor = self.proj(attend(block, q, k, v).reshape(len(x), -1), residual)
        return out


class Mlp(nn.Module):
    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.fc1 = GeluLinear(dim, hidden)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = DroppedLinear(hidden, dim, dropout)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        out: Tensor = self.fc2(self.dropout(self.fc1(x)), residual)
        return out


class Block(nn.Module):
    def __init__(self, dim: int, heads: int, mlp_ratio: float, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads, dropout)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), dropout)

    def forward(self, x: Tensor, block: int, attend: Attend) -> Tensor:
        x = self.attn(self.norm1(x), x, block, attend)
        out: Tensor = self.mlp(self.norm2(x), x)
        return out


class Stack(nn.ModuleList):
    """The blocks of an encoder or decoder."""

    def __init__(self, dim: int, depth: int, heads: int, mlp_ratio: float, dropout: float) -> None:
        super().__init__(Block(dim, heads, mlp_ratio, dropout) for _ in range(depth))

    def forward(self, x: Tensor, attend: Attend) -> Tensor:
        """Packed rows [R, D] through all blocks."""
        for at, block in enumerate(self):
            x = block(x, at, attend)
        return x
