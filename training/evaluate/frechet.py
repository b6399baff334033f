"""Fréchet distance between two feature clouds, in float64."""

import torch
from torch import Tensor


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """|mean difference|^2 + tr(Sa + Sb - 2 (Sa Sb)^1/2) for features [N, D] and [M, D].

    tr (Sa Sb)^1/2 is the sum of the square roots of the eigenvalues of Sa^1/2 Sb Sa^1/2, which is symmetric: no general
    matrix square root is needed. Source: Dowson and Landau 1982; Heusel et al. 2017.
    """
    a, b = a.double(), b.double()
    difference = a.mean(0) - b.mean(0)
    sa, sb = covariance(a), covariance(b)
    values, vectors = torch.linalg.eigh(sa)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ sb @ root).clamp(min=0).sqrt().sum()
    return float(difference.square().sum() + sa.trace() + sb.trace() - 2 * cross)


def covariance(x: Tensor) -> Tensor:
    """Unbiased covariance of [N, D] -> [D, D]."""
    centred = x - x.mean(0)
    return centred.T @ centred / (len(x) - 1)
