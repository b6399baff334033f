"""The Fréchet distance against closed forms."""

import pytest
import torch

from training.evaluate.frechet import Gaussian, frechet_distance


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
    assert frechet_distance(x, 3 * x) == pytest.approx(4 * float(torch.cov(x.T).trace()), rel=1e-9)


def test_rotated_covariances_match_the_matrix_square_root() -> None:
    from scipy.linalg import sqrtm

    a, b = cloud(seed=1) @ cloud(6, 6, seed=2), cloud(seed=3) @ cloud(6, 6, seed=4)
    sa, sb = torch.cov(a.T), torch.cov(b.T)
    root = torch.from_numpy(sqrtm((sa @ sb).numpy()).real.copy())
    expected = (a.mean(0) - b.mean(0)).square().sum() + (sa + sb - 2 * root).trace()
    assert frechet_distance(a, b) == pytest.approx(float(expected), rel=1e-6)


def test_rank_deficient_features_are_fine() -> None:
    flat = torch.cat([cloud(), torch.zeros(400, 3, dtype=torch.float64)], dim=1)
    assert frechet_distance(flat, flat) == pytest.approx(0.0, abs=1e-6)


def test_fewer_images_than_dimensions_lose_no_digits() -> None:
    x = cloud(30, 700)
    assert frechet_distance(x, x) == pytest.approx(0.0, abs=1e-9)
    x = x - x.mean(0)
    assert frechet_distance(x, 3 * x + 1) == pytest.approx(4 * float(x.square().sum() / 29) + 700, rel=1e-9)


def test_clouds_in_different_planes_share_nothing() -> None:
    x, y = cloud(20, 300), cloud(50, 300, seed=1)
    x[:, 150:] = 0
    y[:, :150] = 0
    parts = (x.mean(0) - y.mean(0)).square().sum() + torch.cov(x.T).trace() + torch.cov(y.T).trace()
    assert frechet_distance(x, y) == pytest.approx(float(parts), rel=1e-9)


def test_moments_give_what_the_cloud_they_are_of_gives() -> None:
    for x, y in ((cloud(), 2 * cloud(seed=1)), (cloud(5, 40), cloud(9, 40, seed=1))):  # full and deficient rank
        stored = Gaussian.from_moments(y.mean(0), torch.cov(y.T))
        assert frechet_distance(x, stored) == pytest.approx(frechet_distance(x, y), rel=1e-6)


def test_axis_aligned_normals_are_as_on_paper() -> None:
    a, b = torch.tensor([1.0, 4.0, 0.0]), torch.tensor([9.0, 4.0, 25.0])
    one, other = Gaussian.from_moments(torch.zeros(3), a.diag()), Gaussian.from_moments(torch.ones(3), b.diag())
    assert frechet_distance(one, other) == pytest.approx(3 + 4 + 0 + 25)


def test_what_has_no_distance_is_refused() -> None:
    with pytest.raises(ValueError, match="6 and of 7 dimensions"):
        frechet_distance(cloud(), cloud(dim=7))
    with pytest.raises(ValueError, match="at least two"):
        frechet_distance(cloud(1), cloud())
