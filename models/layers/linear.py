"""Linear layers whose rows do not depend on how many rows share the call.

Measured with torch 2.13 on AVX512 (2 threads): MKL's sgemm splits the contraction of a wide layer (1024 -> 256) over
threads for up to ~130 rows, so a row's bits change with the row count; oneDNN's kernels, with weights packed once, gave
equal bits for every count from 12 rows on and were as fast or faster.
"""

import torch
from torch import Tensor, nn

MIN_ROWS = 16  # below this, kernels differ: pad


class PackedLinear(nn.Module):
    """x [R, I] -> [R, O] through oneDNN with a weight packed at load time (CPU inference only)."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.packed = linear.weight.detach().contiguous().to_mkldnn()
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        return out


def pack_linears(module: nn.Module) -> None:
    """Replace every nn.Linear below `module` by its packed form, in place."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, PackedLinear(child))
        else:
            pack_linears(child)


def pad_rows(x: Tensor, least: int = MIN_ROWS) -> Tensor:
    """Append zero rows so that x [R, D] has at least `least`."""
    missing = least - len(x)
    return x if missing <= 0 else torch.cat([x, x.new_zeros(missing, *x.shape[1:])])
