"""Linear layers whose rows do not depend on how many rows share the call.

Measured with torch 2.13 on AVX512 (2 threads): MKL's sgemm splits the contraction of a wide layer (1024 -> 256) over
threads for up to ~130 rows, so a row's bits change with the row count; oneDNN's kernels, with weights packed once, gave
equal bits for every count from 12 rows on and were as fast or faster. GELU, SiLU and the residual sum as part of
the product save a pass over memory; a row's bits do not depend on how many there are.

A call of oneDNN takes some 30 microseconds before it begins. Where few rows meet narrow layers many times, as in a
diffusion chain, MKL with the weight laid out as [I, O] takes a third of the time (16 rows, 192 -> 192), and up to 768
inputs its bits were equal for every count from 2 rows on.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.activation import silu

MIN_ROWS = 16  # below this, kernels differ: pad
NARROW = 512  # inputs up to which MKL's rows are on their own


class GeluLinear(nn.Linear):
    """A linear layer and the exact GELU."""

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(super().forward(x))


class SiluLinear(nn.Linear):
    """A linear layer and SiLU."""

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(super().forward(x))


class ResidualLinear(nn.Linear):
    """A linear layer that adds to a residual stream of its output's shape."""

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x) + residual


ACTIVATIONS = ((GeluLinear, ("gelu", "none")), (SiluLinear, ("swish", "")))


class PackedLinear(nn.Module):
    """x [R, I] -> [R, O] through oneDNN with a weight packed at load time (CPU inference only)."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.packed = linear.weight.detach().contiguous().to_mkldnn()
        self.bias = linear.bias
        self.activation = next((form for kind, form in ACTIVATIONS if isinstance(linear, kind)), ("none", ""))

    def forward(self, x: Tensor) -> Tensor:
        name, form = self.activation
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, name, [], form)
        return out


class PackedResidualLinear(PackedLinear):
    """x [R, I], residual [R, O] -> [R, O]."""

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:  # type: ignore[override]
        out: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, residual, self.packed, self.bias, "add")
        return out


class NarrowLinear(nn.Module):
    """x [R, I] -> [R, O] of a few rows, with I up to `NARROW` (CPU inference only)."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = linear.weight.detach().t().contiguous()
        self.bias = linear.bias
        self.silu = isinstance(linear, SiluLinear)

    def forward(self, x: Tensor) -> Tensor:
        out = torch.addmm(self.bias, x, self.weight)
        return silu(out) if self.silu else out


def pack_narrow(module: nn.Module) -> None:
    """`pack_linears` for layers that see few rows at a time; what is not narrow is packed as ever."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear) and child.in_features <= NARROW and type(child) in (nn.Linear, SiluLinear):
            setattr(module, name, NarrowLinear(child))
        else:
            pack_narrow(child)
    pack_linears(module)


def pack_linears(module: nn.Module) -> None:
    """Replace every nn.Linear below `module` by its packed form, in place."""
    for name, child in module.named_children():
        if isinstance(child, ResidualLinear):
            setattr(module, name, PackedResidualLinear(child))
        elif isinstance(child, nn.Linear):
            setattr(module, name, PackedLinear(child))
        else:
            pack_linears(child)


def pad_rows(x: Tensor, least: int = MIN_ROWS) -> Tensor:
    """Append zero rows so that x [R, D] has at least `least`."""
    missing = least - len(x)
    return x if missing <= 0 else torch.cat([x, x.new_zeros(missing, *x.shape[1:])])
