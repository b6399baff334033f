"""SiLU whose bits depend on the element alone.

Measured with torch 2.13 on AVX512: `F.silu` takes another path for the last elements of what a thread works on, so with
widths that are no multiple of 32, or with three threads and more at the published widths, a row's bits change with the
number of rows beside it. exp, division and sum did not, at 1 to 4 threads, and take the same time.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def silu(x: Tensor) -> Tensor:
    """x * sigmoid(x), elementwise; the usual kernel where gradients are wanted, and on accelerators."""
    if x.requires_grad or x.device.type != "cpu":
        return F.silu(x)
    return x / (1.0 + torch.exp(-x))
