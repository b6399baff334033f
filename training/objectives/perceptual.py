"""Perceptual substitute: early features of a small classifier of the same data.

It shares neither weights, seed, shape nor training run with the classifier that measures `FID-cls`, so that the metric
is not what was optimised.
"""

from itertools import pairwise
from pathlib import Path

import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


class PerceptualNet(nn.Module):
    """Four convolutions, two of them strided; their activations are the features. Input [B, C, H, W] in [0, 1]."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        widths = (channels, 32, 48, 64, 96)
        self.convs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, stride=2 - i % 2, padding=1, bias=False), nn.BatchNorm2d(b))
            for i, (a, b) in enumerate(pairwise(widths))
        )
        self.out = nn.Linear(widths[-1] * 16, classes)

    def features(self, images: Tensor) -> list[Tensor]:
        """Activations after each convolution."""
        x, found = images, []
        for conv in self.convs:
            x = F.silu(conv(x))
            found.append(x)
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, classes], for its own training."""
        return self.out(F.adaptive_avg_pool2d(self.features(images)[-1], 4).flatten(1))


def perceptual_distance(network: PerceptualNet, images: Tensor, targets: Tensor) -> Tensor:
    """Mean over layers of the squared distance between channel-normalised features (as LPIPS, without its weights)."""
    total = images.new_zeros(())
    mine, theirs = network.features(images), network.features(targets)
    for a, b in zip(mine, theirs, strict=True):
        a, b = F.normalize(a.float(), dim=1, eps=1e-1), F.normalize(b.float(), dim=1, eps=1e-1)
        total = total + (a - b.detach()).square().sum(1).mean()
    return total / len(mine)


def save_perceptual(network: PerceptualNet, path: Path) -> None:
    """Store the weights in full precision."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)


def load_perceptual(path: Path) -> PerceptualNet:
    """A stored network, frozen."""
    state = load_file(path)
    network = PerceptualNet(state["convs.0.0.weight"].shape[1], len(state["out.bias"]))
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)
