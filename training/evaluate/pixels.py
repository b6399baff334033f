"""How close two pictures are pixel by pixel, and pictures made worse on purpose."""

import torch
import torch.nn.functional as F
from torch import Tensor

from training.data.images import to_bytes, to_unit

WINDOW, SIGMA = 11, 1.5
K1, K2 = 0.01, 0.03


def psnr(a: Tensor, b: Tensor) -> float:
    """Mean over images of the peak signal-to-noise ratio in dB; uint8 [N, C, H, W] each."""
    error = (a.float() - b.float()).square().flatten(1).mean(1).clamp(min=1e-6)
    return float((10 * torch.log10(255.0**2 / error)).mean())


def ssim(a: Tensor, b: Tensor) -> float:
    """Mean structural similarity, 11x11 Gaussian window, uint8 [N, C, H, W] each. Source: Wang et al. 2004."""
    return float(torch.cat([_ssim(x, y) for x, y in zip(a.split(500), b.split(500), strict=True)]).mean())


def _ssim(a: Tensor, b: Tensor) -> Tensor:
    x, y = to_unit(a), to_unit(b)
    mx, my = smooth(x), smooth(y)
    vx, vy, cov = smooth(x * x) - mx * mx, smooth(y * y) - my * my, smooth(x * y) - mx * my
    top = (2 * mx * my + K1**2) * (2 * cov + K2**2)
    return (top / ((mx * mx + my * my + K1**2) * (vx + vy + K2**2))).flatten(1).mean(1)


def smooth(images: Tensor, sigma: float = SIGMA) -> Tensor:
    """Gaussian blur within the picture (no padding where it is large enough): [N, C, H, W]."""
    width = min(WINDOW, images.shape[-1], images.shape[-2])
    at = torch.arange(width, dtype=images.dtype) - (width - 1) / 2
    line = torch.exp(-(at**2) / (2 * sigma**2))
    window = torch.outer(line, line) / line.sum() ** 2
    channels = images.shape[1]
    return F.conv2d(images, window.expand(channels, 1, width, width), groups=channels)


def half_resolution(images: Tensor) -> Tensor:
    """Averaged to half the size and enlarged again: the control that every measure must see. uint8 [N, C, H, W]."""
    parts = []
    for part in images.split(1000):
        small = F.avg_pool2d(to_unit(part), 2)
        parts.append(to_bytes(F.interpolate(small, size=part.shape[-2:], mode="bilinear", align_corners=False)))
    return torch.cat(parts)
