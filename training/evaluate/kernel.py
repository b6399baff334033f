"""Kernel distance between two feature clouds: unbiased, so that small clouds can be compared."""

import torch
from torch import Tensor

from training.randomness import generator_of

SUBSETS, SUBSET = 50, 500


def kernel_distance(a: Tensor, b: Tensor, subsets: int = SUBSETS, size: int = SUBSET) -> float:
    """Mean unbiased MMD^2 with the kernel (x.y / D + 1)^3 over random subsets of features [N, D] and [M, D].

    Around 0 for clouds of one distribution, and then negative half of the time. Source: Binkowski et al. 2018 (KID).
    """
    size = min(size, len(a), len(b))
    if size < 2:
        raise ValueError("a kernel distance needs at least two features on each side")
    generator = generator_of("kernel distance")
    found = []
    for _ in range(subsets):
        x, y = (cloud[torch.randperm(len(cloud), generator=generator)[:size]].double() for cloud in (a, b))
        found.append(_squared_mmd(x, y))
    return float(torch.stack(found).mean())


def _squared_mmd(x: Tensor, y: Tensor) -> Tensor:
    n, width = x.shape
    xx, yy, xy = ((one @ other.T / width + 1) ** 3 for one, other in ((x, x), (y, y), (x, y)))
    off = n * (n - 1)
    return (xx.sum() - xx.trace()) / off + (yy.sum() - yy.trace()) / off - 2 * xy.mean()
