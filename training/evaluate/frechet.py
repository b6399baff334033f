"""Fréchet distance between two feature clouds, or between a cloud and published statistics, in float64."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution by its mean [D] and a factor F [D, R] of its covariance, which is F F^T. float64."""

    mean: Tensor
    factor: Tensor

    @classmethod
    def of(cls, features: Tensor) -> "Gaussian":
        """Mean and unbiased covariance of features [N, D]; N may be smaller than D. Raises ValueError below N = 2."""
        if len(features) < 2:
            raise ValueError("a Fréchet distance needs at least two features on each side")
        features = features.double()
        mean = features.mean(0)
        centred = (features - mean) / (len(features) - 1) ** 0.5
        rows, width = centred.shape
        if rows > width:  # the same product from a square factor
            centred = torch.linalg.qr(centred, mode="r").R
        return cls(mean, centred.T)

    @classmethod
    def from_moments(cls, mean: Tensor, covariance: Tensor) -> "Gaussian":
        """From mean [D] and a symmetric covariance [D, D], whose negative eigenvalues (rounding) count as nothing."""
        values, vectors = torch.linalg.eigh(covariance.double())
        return cls(mean.double(), vectors * values.clamp(min=0).sqrt())

    @property
    def dimensions(self) -> int:
        return len(self.mean)


def frechet_distance(a: Tensor | Gaussian, b: Tensor | Gaussian) -> float:
    """|mean difference|^2 + tr(Sa + Sb - 2 (Sa Sb)^1/2) for features [N, D] and [M, D], or what was made of them.

    With Sa = A A^T and Sb = B B^T, tr (Sa Sb)^1/2 is the sum of the singular values of A^T B. Nothing is squared and no
    matrix root is taken, so covariances of less than full rank (N < D) lose no digits.
    Source: Dowson and Landau 1982; Heusel et al. 2017. Raises ValueError where the dimensions differ.
    """
    one, other = (side if isinstance(side, Gaussian) else Gaussian.of(side) for side in (a, b))
    if one.dimensions != other.dimensions:
        raise ValueError(f"features of {one.dimensions} and of {other.dimensions} dimensions have no distance")
    traces = one.factor.square().sum() + other.factor.square().sum()
    cross = torch.linalg.svdvals(one.factor.T @ other.factor).sum()
    return float((one.mean - other.mean).square().sum() + traces - 2 * cross)
