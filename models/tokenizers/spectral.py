"""The spectral codec: networks see and make magnitudes of short-time spectra; phases are found, not coded.

Principal components on both sides, and what ConvNeXt blocks (arXiv 2201.03545) add to them at the rate of spectra or
below it, as in Vocos (arXiv 2306.00814); EnCodec's quantizer in between. Fast Griffin-Lim (Perraudin et al. 2013) makes
phases that agree with each other: codes need not say where in its period each partial is, so that a small codec keeps
the pitch of notes after a short training.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.tokenizers.codec import Codec, Given, quantizer_settings
from models.tokenizers.spectral_config import SpectralConfig

AUDIBLE = 1e-3
LOUD = 1.5  # times the amplitude that samples can have
FADE = 1e-6  # of the window's overlaps: beyond the ends they vanish
SHARE = 0.2  # of a block's change, at first
HASTE = 0.99  # of fast Griffin-Lim
NEAR = 2  # bins of a peak to each side
QUIET = 1e-12
AT_ONCE = 8  # sounds whose spectra are looked at together
EVEN = 1e-3  # spread of levels that tells nothing


class SpectralCodec(Codec):
    """A codec of one channel whose encoder and decoder work on magnitudes of spectra."""

    heeds = True
    encoder: "SpectralEncoder"
    decoder: "SpectralDecoder"

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        from transformers import EncodecConfig
        from transformers.models.encodec.modeling_encodec import EncodecResidualVectorQuantizer

        self.config: SpectralConfig = config
        self.encoder = SpectralEncoder(config)
        self.quantizer = EncodecResidualVectorQuantizer(
            EncodecConfig(**quantizer_settings(config), upsampling_ratios=[config.hop])
        )
        self.decoder = SpectralDecoder(config)

    @torch.no_grad()
    def prepare(self, waves: Tensor) -> None:
        """The linear parts: principal components of the levels of a token. ValueError where nothing is to be heard."""
        size = self.config.spectra * self.config.bins
        count, total, squares = 0, torch.zeros(size).double(), torch.zeros(size, size).double()
        for part in waves.split(AT_ONCE):
            rows = _joined(self.decoder.stft.levels(part), self.config.spectra).flatten(0, 1).double()
            count, total, squares = count + len(rows), total + rows.sum(dim=0), squares + rows.T @ rows
        middle = total / count
        sizes, parts = torch.linalg.eigh(squares / count - middle.outer(middle))  # the largest last
        parts, middle = parts.T.flip(0)[: self.config.dimension].float(), middle.float()  # [D, spectra * bins]
        scale = sizes[-self.config.dimension :].mean().clamp(min=0.0).sqrt().float()
        if scale < EVEN:
            raise ValueError("the sounds are silent, or their spectra never change: there is nothing to code")
        self.encoder.middle.copy_(middle.unflatten(0, (self.config.spectra, -1)).mean(dim=0))
        self.encoder.linear.weight.copy_(parts / scale)
        self.encoder.linear.bias.copy_(-(parts @ middle) / scale)
        self.decoder.linear.weight.copy_(parts.T * scale)
        self.decoder.linear.bias.copy_(middle)

    def finish(self, made: Tensor, given: Given | None = None) -> Tensor:
        """Logarithms of magnitudes [B, bins, S] -> waveforms; what is hardly audible is silence again.

        Phases go on from those of spectra that are `given` as a whole.
        """
        magnitudes = (made.exp() - AUDIBLE).clamp(min=0.0)
        return self.decoder.stft.griffin_lim(magnitudes, self.config.rounds, given)

    def ideal(self, waves: Tensor) -> Tensor:
        return self.decoder.stft.levels(waves)

    def heard(self, made: Tensor, like: Tensor) -> Tensor:
        """With the phases of `like`."""
        stft = self.decoder.stft
        phases = stft.spectra(like).angle()
        return stft.waves(torch.polar(made.exp(), phases))[..., : like.shape[-1]]


class SpectralEncoder(nn.Module):
    """Waveforms [B, 1, N] -> features float32 [B, D, ceil(N / hop)]; beyond the end there is silence."""

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        self.stft, width = Spectra(config), config.encoder_width
        self.spectra = config.spectra
        self.linear = _computed(nn.Linear(config.spectra * config.bins, config.dimension))
        self.middle = nn.Parameter(torch.zeros(config.bins), requires_grad=False)
        self.spread = nn.Linear(config.bins, width)
        self.fine = _blocks(config, width, config.encoder_depths[0])
        self.join = nn.Linear(config.spectra * width, width)
        self.coarse = _blocks(config, width, config.encoder_depths[1])
        self.norm = nn.LayerNorm(width)
        self.out = _silent(nn.Linear(width, config.dimension))

    def forward(self, waves: Tensor) -> Tensor:
        levels = self.stft.levels(waves)
        with torch.autocast(levels.device.type, enabled=False):
            plain = self.linear(_joined(levels, self.spectra))  # [B, T, D]
        x = self.fine(self.spread(levels.transpose(1, 2) - self.middle))  # [B, T * spectra, W]
        x = self.coarse(self.join(x.unflatten(1, (-1, self.spectra)).flatten(2)))  # [B, T, W]
        return cast(Tensor, (plain + self.out(self.norm(x)).float()).transpose(1, 2))


class SpectralDecoder(nn.Module):
    """Features [B, D, T] -> logarithms of magnitudes, float32 [B, bins, T * spectra]."""

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        self.stft, width = Spectra(config), config.decoder_width
        self.spectra = config.spectra
        self.most = float((LOUD * self.stft.window.sum() / 2).log())  # a note of such an amplitude
        self.linear = _computed(nn.Linear(config.dimension, config.spectra * config.bins))
        self.spread = nn.Linear(config.dimension, width)
        self.coarse = _blocks(config, width, config.decoder_depths[0])
        self.part = nn.Linear(width, config.spectra * width)
        self.fine = _blocks(config, width, config.decoder_depths[1])
        self.norm = nn.LayerNorm(width)
        self.head = _silent(nn.Linear(width, config.bins))

    def forward(self, features: Tensor) -> Tensor:
        features = features.transpose(1, 2)
        with torch.autocast(features.device.type, enabled=False):
            plain = self.linear(features).unflatten(2, (self.spectra, -1)).flatten(1, 2)  # [B, T * spectra, bins]
        x = self.part(self.coarse(self.spread(features)))  # [B, T, spectra * W]
        x = self.fine(x.unflatten(2, (self.spectra, -1)).flatten(1, 2))  # [B, T * spectra, W]
        levels = plain + self.head(self.norm(x)).float()
        return cast(Tensor, levels.transpose(1, 2).clamp(max=self.most))


class Spectra(nn.Module):
    """Waveforms [B, 1, N] <-> complex spectra [B, bins, S], each centred in its own `stride` samples."""

    window: Tensor

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        self.size, self.stride, self.hop = config.window, config.stride, config.hop
        self.side = (config.window - config.stride) // 2  # samples of silence at both ends
        shape = torch.hann_window(config.window)
        self.register_buffer("window", shape / shape.square().sum().sqrt(), persistent=False)

    def spectra(self, waves: Tensor) -> Tensor:
        """Of whole tokens: silence follows where N is less."""
        return self._rows(waves).mT

    def levels(self, waves: Tensor) -> Tensor:
        """Logarithms of magnitudes [B, bins, S]; what is hardly audible counts as that."""
        return self.spectra(waves).abs().clamp(min=AUDIBLE).log()

    def waves(self, spectra: Tensor) -> Tensor:
        """[B, bins, S] -> [B, 1, S * stride]: overlapping windows, added."""
        return self._sum(spectra.mT) / self._weights(spectra.shape[-1])

    def griffin_lim(self, magnitudes: Tensor, rounds: int, given: Given | None = None) -> Tensor:
        """Magnitudes [B, bins, S] -> waveforms [B, 1, S * stride] of about these, without any chance."""
        phases = self._running(magnitudes)
        fixed = None if given is None else self._kept(given, magnitudes)
        if fixed is not None:
            phases = _continued(phases, *fixed)
            fixed = fixed[0][:, None], fixed[1].mT
        rows, weights = magnitudes.mT.contiguous(), self._weights(magnitudes.shape[-1])
        found = before = torch.polar(rows, phases.mT)
        for turn in range(rounds + 1):
            if fixed is not None:
                found = torch.where(*fixed, found)
            waves = self._sum(found) / weights
            if turn < rounds:
                agreed = self._rows(waves)
                ahead = torch.lerp(before, agreed, 1.0 + HASTE)
                found, before = ahead * (rows / ahead.abs().clamp(min=1e-9)), agreed
        return waves

    def _rows(self, waves: Tensor) -> Tensor:
        """Spectra as they lie in memory: [B, 1, N] -> [B, S, bins]."""
        behind = self.side + -waves.shape[-1] % self.hop
        padded = F.pad(waves.float().squeeze(1), (self.side, behind))
        return torch.fft.rfft(padded.unfold(-1, self.size, self.stride) * self.window)

    def _sum(self, rows: Tensor) -> Tensor:
        """[B, S, bins] -> [B, 1, S * stride], not yet divided by what the windows weigh."""
        return self._added(torch.fft.irfft(rows, n=self.size) * self.window)

    def _weights(self, count: int) -> Tensor:
        """Of `count` overlapping windows, [1, 1, count * stride]."""
        return self._added(self.window.square().expand(1, count, -1)).clamp(min=FADE)

    def _kept(self, given: Given, magnitudes: Tensor) -> tuple[Tensor, Tensor]:
        """Which spectra [S] see nothing that is made anew, and those of the original [1, bins, S]."""
        missing = magnitudes.shape[-1] * self.stride - given.wave.shape[-1]
        wave = F.pad(given.wave.to(magnitudes), (0, missing))
        asked = F.pad(given.asked.to(magnitudes), (0, missing), value=1.0)
        seen = F.max_pool1d(F.pad(asked[None, None], (self.side, self.side)), self.size, self.stride)
        return seen[0, 0] == 0, self.spectra(wave.unsqueeze(0))

    def _running(self, magnitudes: Tensor) -> Tensor:
        """Phases that go on at the pitch of what is loud near each bin, [B, bins, S]: half the rounds from nothing."""
        bins = torch.arange(magnitudes.shape[1], device=magnitudes.device)[:, None]
        padded = F.pad(magnitudes.square(), (0, 0, NEAR, NEAR))
        near = {offset: padded[:, NEAR + offset :][:, : len(bins)] for offset in range(-NEAR, NEAR + 1)}
        aside = sum(offset * power for offset, power in near.items()) / torch.stack([*near.values()]).sum(0).clamp(
            QUIET
        )
        turns = (bins + aside) * (self.stride / self.size)
        return 2 * torch.pi * turns.remainder(1.0).cumsum(dim=-1).remainder(1.0)

    def _added(self, pieces: Tensor) -> Tensor:
        """[B, S, window] -> [B, 1, S * stride]: what lies beyond both ends is dropped."""
        count, strides = pieces.shape[1], -(-self.size // self.stride)
        parts = F.pad(pieces, (0, strides * self.stride - self.size)).unflatten(-1, (strides, self.stride))
        added = parts.new_zeros(len(pieces), count + strides - 1, self.stride)
        for at in range(strides):
            added[:, at : at + count] += parts[:, :, at]
        return added.flatten(1)[:, None, self.side : self.side + count * self.stride]


class Block(nn.Module):
    """Mixes in time by channel, then channels: [B, T, W] -> [B, T, W]."""

    def __init__(self, width: int, config: SpectralConfig) -> None:
        super().__init__()
        self.mix = nn.Conv1d(width, width, config.kernel_size, padding=config.kernel_size // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, config.mlp_ratio * width)
        self.down = nn.Linear(config.mlp_ratio * width, width)
        self.share = nn.Parameter(torch.full((width,), SHARE))

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.norm(self.mix(x.transpose(1, 2)).transpose(1, 2))
        return x + self.share * cast(Tensor, self.down(F.gelu(self.up(mixed))))


def _continued(phases: Tensor, kept: Tensor, original: Tensor) -> Tensor:
    """`phases` [B, bins, S] turned so that they go on from the last of the `original` that was `kept` before."""
    places = torch.arange(len(kept), device=kept.device)
    last = torch.where(kept, places, -1).cummax(dim=0).values
    turned = phases + (original.angle() - phases)[..., last.clamp(min=0)]
    return torch.where(last >= 0, turned, phases)


def _joined(levels: Tensor, spectra: int) -> Tensor:
    """[B, bins, T * spectra] -> [B, T, spectra * bins]."""
    return levels.transpose(1, 2).unflatten(1, (-1, spectra)).flatten(2)


def _computed(layer: nn.Linear) -> nn.Linear:
    """Of `prepare`: steps of one size for every weight would be far too long for sums of so many."""
    return layer.requires_grad_(False)


def _silent(layer: nn.Linear) -> nn.Linear:
    """Adds nothing at first."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _blocks(config: SpectralConfig, width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(Block(width, config) for _ in range(depth)))
