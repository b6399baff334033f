"""The Fréchet distance against closed forms."""

import pytest
import torch

from training.evaluate.frechet import covariance, frechet_distance


def cloud(count: int = 400, dim: int = 6, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, dtype=torch.float64, generator=generator)


def test_a_cloud_is_at_no_distance_from_itself() -> None:
    assert frechet_distance(cloud(), cloud()) == pytest.approx(0.0, abs=1e-9)


def test_shifting_costs_the_squared_shift() -> None:
    shift = torch.tensor([3.0, 0, 0, 4.0, 0, 0], dtype=torch.float64)
    assert frechet_distance(cloud(), cloud() + shift) == pytest.approx(25.0, rel=1e-9)


def test_scaling_costs_what_the_closed_form_says() -> None:
    x = cloud()
    x = x - x.mean(0)
    assert frechet_distance(x, 3 * x) == pytest.approx(4 * float(covariance(x).trace()), rel=1e-9)


def test_rotated_covariances_match_the_matrix_square_root() -> None:
    from scipy.linalg import sqrtm

    a, b = cloud(seed=1) @ cloud(6, 6, seed=2), cloud(seed=3) @ cloud(6, 6, seed=4)
    sa, sb = covariance(a), covariance(b)
    root = torch.from_numpy(sqrtm((sa @ sb).numpy()).real.copy())
    expected = (a.mean(0) - b.mean(0)).square().sum() + (sa + sb - 2 * root).trace()
    assert frechet_distance(a, b) == pytest.approx(float(expected), rel=1e-6)


def test_rank_deficient_features_are_fine() -> None:
    flat = torch.cat([cloud(), torch.zeros(400, 3, dtype=torch.float64)], dim=1)
    assert frechet_distance(flat, flat) == pytest.approx(0.0, abs=1e-6)
