"""A small patch discriminator and its hinge losses."""

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

GAIN = 6.0


class PatchDiscriminator(nn.Module):
    """Images [B, C, H, W] -> one logit per patch [B, 1, H/4, W/4].

    Spectral norm makes every layer 1-Lipschitz; GAIN sets the slope of the whole.
    """

    def __init__(self, channels: int, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            spectral_norm(nn.Conv2d(channels, width, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(2 * width, 2 * width, 3, padding=1)),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(GAIN * images)


def hinge_real_fake(real: Tensor, fake: Tensor) -> Tensor:
    """Discriminator loss: real logits above 1, fake ones below -1."""
    return (F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean()) / 2


def hinge_generator(fake: Tensor) -> Tensor:
    """Generator loss: raise the fake logits."""
    return -fake.float().mean()
