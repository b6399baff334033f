"""Rows through the network so that none depends on its neighbours.

A convolution stack may choose another kernel, and so another order of additions, for another batch size. On a CPU rows
pass one at a time: larger batches gained a tenth at most, and nobody waits for padding or copies maps that lie apart.
Accelerators need large batches.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.mcvd.condition import Condition
from models.mcvd.network import MCVD

MICROBATCH = 1
ACCELERATOR_BATCH = 32


def predict(network: MCVD, x: Tensor, t: Tensor, conditions: Sequence[Condition]) -> Tensor:
    """The noise in x [N, F * C, S, S] at levels t [N], float32 of the same shape; `conditions` are of one row each."""
    size = MICROBATCH if x.device.type == "cpu" else ACCELERATOR_BATCH
    starts = range(0, len(x), size)
    parts = [
        network(x[at : at + size].clone(), t[at : at + size], Condition.stack(conditions[at : at + size]))
        for at in starts
    ]
    return torch.cat(parts).float()
