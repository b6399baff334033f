"""A discriminator over spectrograms at several resolutions (EnCodec, arXiv 2210.13438, section 3.4)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from training.objectives.spectra import spectrum

DILATIONS = (1, 2, 4)


class SpectrogramJudge(nn.Module):
    """Complex spectrograms of one window as pictures of two channels."""

    def __init__(self, window: int, width: int) -> None:
        super().__init__()
        self.window = window
        first = weight_norm(nn.Conv2d(2, width, (3, 9), padding=(1, 4)))
        wide = [
            weight_norm(nn.Conv2d(width, width, (3, 9), stride=(1, 2), dilation=(d, 1), padding=(d, 4)))
            for d in DILATIONS
        ]
        last = weight_norm(nn.Conv2d(width, width, (3, 3), padding=(1, 1)))
        self.layers = nn.ModuleList([first, *wide, last])
        self.head = weight_norm(nn.Conv2d(width, 1, (3, 3), padding=(1, 1)))

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:
        """[B, 1, N] -> logits [B, 1, T, F'] and the features of every layer."""
        x = torch.view_as_real(spectrum(wave, self.window)).permute(0, 3, 2, 1)  # [B, 2, T, F]
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.head(x), features


class SoundDiscriminator(nn.Module):
    """One judge per window."""

    def __init__(self, windows: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.judges = nn.ModuleList(SpectrogramJudge(window, width) for window in windows)

    def forward(self, wave: Tensor) -> list[tuple[Tensor, list[Tensor]]]:
        return [judge(wave) for judge in self.judges]


def likeness_of_features(fake: list[tuple[Tensor, list[Tensor]]], real: list[tuple[Tensor, list[Tensor]]]) -> Tensor:
    """Mean distance of features, relative to the size of the real ones."""
    found = [
        (mine - wanted.detach()).abs().mean() / wanted.detach().abs().mean().clamp(min=1e-6)
        for (_, ours), (_, theirs) in zip(fake, real, strict=True)
        for mine, wanted in zip(ours, theirs, strict=True)
    ]
    return torch.stack(found).mean()
