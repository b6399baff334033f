"""The measures: known values, and that each can tell good from bad."""

import pytest
import torch

from training.evaluate.kernel import kernel_distance
from training.evaluate.pixels import half_resolution, psnr, ssim


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_kernel_distance_is_nothing_between_equals_and_grows() -> None:
    a, b = noise(800, 16), noise(800, 16, seed=1)
    assert abs(kernel_distance(a, b)) < 2e-3
    near, far = kernel_distance(a, b + 0.1), kernel_distance(a, b + 0.3)
    assert 0.01 < near < far
    with pytest.raises(ValueError, match="at least two"):
        kernel_distance(a[:1], b)


def test_the_kernel_distance_of_small_clouds_is_as_on_paper() -> None:
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0]])
    # k(x,x') = 1, k(y,y') = 27, mean k(x,y) = (1 + 1 + 8 + 27) / 4
    assert kernel_distance(x, y, subsets=3) == pytest.approx(1 + 27 - 2 * 37 / 4)


def test_psnr_and_ssim() -> None:
    image = (noise(4, 3, 32, 32) * 255).to(torch.uint8)
    assert ssim(image, image) == pytest.approx(1.0, abs=1e-5)
    lighter = (image.int() + 10).clamp(max=255).to(torch.uint8)
    assert 27 < psnr(image, lighter) < 30 and 0.9 < ssim(image, lighter) < 1
    other = (noise(4, 3, 32, 32, seed=1) * 255).to(torch.uint8)
    assert abs(ssim(image, other)) < 0.2
    assert 0 < ssim(image[..., :8, :8], lighter[..., :8, :8]) < 1  # smaller than the window


def test_the_control_is_a_worse_picture() -> None:
    sharp = torch.zeros(2, 1, 16, 16, dtype=torch.uint8)
    sharp[..., ::2] = 255
    soft = half_resolution(sharp)
    assert soft.shape == sharp.shape and soft.float().std() < 5 and psnr(soft, sharp) < 10
    grey = torch.full((1, 3, 8, 8), 77, dtype=torch.uint8)
    assert torch.equal(half_resolution(grey), grey)
