"""Distances between sounds: mel spectrograms at several resolutions, and the ratio of signal to distortion."""

from functools import lru_cache
from math import log

import torch
from torch import Tensor

WINDOWS = (128, 512, 2048)
STFT_WINDOWS = (512, 1024, 2048)
MELS = 64
AUDIBLE = 1e-3
FLOOR = 1e-5


def mel_distance(made: Tensor, real: Tensor, rate: int) -> Tensor:
    """The mean over WINDOWS of L1 between mel magnitudes and of their logs: [B, 1, N] twice -> a number."""
    total = made.new_zeros(())
    for window in WINDOWS:
        mine, wanted = (mels(wave, rate, window) for wave in (made, real))
        total = total + _mel_distance(mine, wanted)
    return total / len(WINDOWS)


def stft_distance(made: Tensor, real: Tensor) -> Tensor:
    """The mean over STFT_WINDOWS of spectral convergence and of L1 between log magnitudes (arXiv 1910.11480): where mel
    bands are wide, this still tells one note from the next.
    """
    total = made.new_zeros(())
    for window in STFT_WINDOWS:
        mine, wanted = (magnitudes(wave, window) for wave in (made, real))
        total = total + _magnitude_distance(mine, wanted)
    return total / len(STFT_WINDOWS)


def spectrum_distance(mine: Tensor, wanted: Tensor, rate: int) -> Tensor:
    """The same two distances of magnitudes themselves, [B, bins, S] twice."""
    bands = (_banded(spectra, rate, 2 * (mine.shape[1] - 1)) for spectra in (mine, wanted))
    return _magnitude_distance(mine, wanted) + _mel_distance(*bands)


def _magnitude_distance(mine: Tensor, wanted: Tensor) -> Tensor:
    convergence = (wanted - mine).norm(dim=(1, 2)) / wanted.norm(dim=(1, 2)).clamp(min=AUDIBLE)
    logs = (mine.clamp(min=AUDIBLE).log() - wanted.clamp(min=AUDIBLE).log()).abs().mean()
    return convergence.mean() + logs


def _mel_distance(mine: Tensor, wanted: Tensor) -> Tensor:
    logs = (mine.clamp(min=FLOOR).log10() - wanted.clamp(min=FLOOR).log10()).abs().mean()
    return (mine - wanted).abs().mean() + logs


def mels(wave: Tensor, rate: int, window: int) -> Tensor:
    """Magnitudes [B, bands, T] of waves [B, 1, N], with a hop of a quarter of the window."""
    return _banded(magnitudes(wave, window), rate, window)


def _banded(spectra: Tensor, rate: int, window: int) -> Tensor:
    with torch.autocast(spectra.device.type, enabled=False):  # of differences of these little would be left
        return bank(rate, window).to(spectra.device) @ spectra


def magnitudes(wave: Tensor, window: int) -> Tensor:
    """[B, 1, N] -> [B, window / 2 + 1, T], of a Hann window whose squares sum to one."""
    return spectrum(wave, window).abs()


def spectrum(wave: Tensor, window: int) -> Tensor:
    """Complex [B, window / 2 + 1, T]."""
    shape = torch.hann_window(window, device=wave.device)
    shape = shape / shape.square().sum().sqrt()
    return torch.stft(wave.float().squeeze(1), window, window // 4, window=shape, return_complex=True)


@lru_cache(maxsize=32)
def bank(rate: int, window: int) -> Tensor:
    """Triangles [bands, window / 2 + 1] evenly spaced in mel; as many of MELS as the window tells apart."""
    bands = min(MELS, window // 8)
    top = 2595.0 * log(1.0 + rate / 2 / 700.0, 10)
    centres = 700.0 * (10.0 ** (torch.linspace(0.0, top, bands + 2) / 2595.0) - 1.0)
    bins = torch.linspace(0.0, rate / 2, window // 2 + 1)
    rising = (bins - centres[:-2, None]) / (centres[1:-1, None] - centres[:-2, None])
    falling = (centres[2:, None] - bins) / (centres[2:, None] - centres[1:-1, None])
    return torch.minimum(rising, falling).clamp(min=0.0)


def si_sdr(made: Tensor, real: Tensor) -> Tensor:
    """Scale-invariant ratio of signal to distortion in dB (arXiv 1811.02508): [B, N] twice -> [B]."""
    made, real = (wave - wave.mean(dim=-1, keepdim=True) for wave in (made.double(), real.double()))
    scale = (made * real).sum(-1, keepdim=True) / real.square().sum(-1, keepdim=True).clamp(min=1e-12)
    target = scale * real
    return 10.0 * (target.square().sum(-1) / (made - target).square().sum(-1).clamp(min=1e-12)).log10()
