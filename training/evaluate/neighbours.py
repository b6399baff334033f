"""Precision, recall, density and coverage from k nearest neighbours, and nearest training images."""

from dataclasses import dataclass

import torch
from torch import Tensor

NEIGHBOURS = 5


@dataclass(frozen=True)
class ManifoldScores:
    """Precision and recall: Kynkäänniemi et al. 2019. Density and coverage: Naeem et al. 2020."""

    precision: float
    recall: float
    density: float
    coverage: float


def manifold_scores(real: Tensor, fake: Tensor, k: int = NEIGHBOURS) -> ManifoldScores:
    """Scores of `fake` [M, D] against `real` [N, D]; a ball reaches to its centre's k-th nearest neighbour."""
    real, fake = real.float(), fake.float()
    real_radius, fake_radius = radii(real, k), radii(fake, k)
    in_real = torch.zeros(len(fake))  # of how many real balls a fake is part
    covered = torch.zeros(len(real), dtype=torch.bool)
    recalled = torch.zeros(len(real), dtype=torch.bool)
    for at, part in zip(torch.arange(len(real)).split(1000), real.split(1000), strict=True):
        distance = torch.cdist(part, fake)  # [1000, M]
        inside = distance <= real_radius[at, None]
        in_real += inside.sum(0)
        covered[at] = inside.any(1)
        recalled[at] = (distance <= fake_radius).any(1)
    return ManifoldScores(
        precision=float((in_real > 0).float().mean()),
        recall=float(recalled.float().mean()),
        density=float(in_real.mean() / k),
        coverage=float(covered.float().mean()),
    )


def radii(points: Tensor, k: int) -> Tensor:
    """Distance of each point to its k-th nearest other point: [N]."""
    parts = [torch.cdist(p, points).kthvalue(k + 1, dim=1).values for p in points.split(1000)]
    return torch.cat(parts)


def nearest(queries: Tensor, pool: Tensor) -> Tensor:
    """Index into `pool` [N, ...] of the row closest to each query [Q, ...] by pixel distance: [Q]."""
    wanted = queries.flatten(1).float()
    distances = [torch.cdist(wanted, part.flatten(1).float()) for part in pool.split(1000)]  # one part is in memory
    return torch.cat(distances, 1).argmin(1)
