"""Fixed micro-batches: an image's bits do not depend on how many images came with it.

A convolution stack may choose another kernel, and so another order of additions, for another batch
size. Running every image in a batch of exactly `MICROBATCH` removes that dependence.
"""

from collections.abc import Callable

import torch
from torch import Tensor

MICROBATCH = 2


def in_microbatches(function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """Apply `function` to `rows` [N, ...] two at a time, N >= 1; an odd last row is repeated."""
    outputs = []
    for chunk in rows.split(MICROBATCH):
        padded = chunk if len(chunk) == MICROBATCH else chunk.repeat_interleave(MICROBATCH, 0)
        outputs.append(function(padded)[: len(chunk)])
    return torch.cat(outputs)
