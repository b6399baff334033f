"""What every codec offers to training and to the decoders: waveforms <-> ids, through a residual quantizer."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from models.tokenizers.codec_config import CodecConfig
from models.tokenizers.microbatch import in_microbatches


@dataclass(frozen=True)
class Given:
    """A sound of which a part is made anew: wave float32 [C, N]; asked bool [N], true where it is."""

    wave: Tensor
    asked: Tensor


class Codec(nn.Module):
    """`encoder` [B, C, N] -> features [B, D, T], `quantizer` between these and ids, `decoder` -> what waveforms
    [B, C, T * hop] are found from.

    The quantizer is that of the transformers library's `EncodecModel`, under the names it has there. Waveforms of equal
    length pass in micro-batches, so that one's bits do not depend on its neighbours.
    """

    heeds: ClassVar[bool] = False
    """Whether `decode` makes another sound where a part of it is given."""

    config: CodecConfig
    encoder: nn.Module
    quantizer: Any
    decoder: nn.Module

    @torch.no_grad()
    def encode(self, waveforms: Tensor) -> Tensor:
        """Waveforms [B, C, N] in [-1, 1] -> ids [B, K, T], int64, T = ceil(N / hop)."""
        return in_microbatches(self._ids, waveforms)

    @torch.no_grad()
    def decode(self, ids: Tensor, given: Given | None = None) -> Tensor:
        """ids [B, k, T] of the first k <= K codebooks -> waveforms [B, C, T * hop], not clipped.

        Fewer codebooks give a coarser sound. What is made anew may be fitted to what is `given` of each of them.
        """
        made = in_microbatches(self._made, ids)
        parts = made.split(1) if made.device.type == "cpu" else (made,)  # on its own, a sound needs no neighbour
        return torch.cat([self.finish(part, given) for part in parts])

    # -- for training: a decoder may make something else than waveforms, of which these are found

    def prepare(self, waves: Tensor) -> None:
        """Before the first step: what can be computed from sounds [B, C, N] need not be learnt."""

    def make(self, features: Tensor) -> Tensor:
        """Features [B, D, T] -> what gradients are balanced at, [B, ...]."""
        made: Tensor = self.decoder(features)
        return made

    def finish(self, made: Tensor, given: Given | None = None) -> Tensor:
        """What `make` makes -> waveforms [B, C, T * hop], without the original, or with a part of it."""
        return made

    def ideal(self, waves: Tensor) -> Tensor | None:
        """What `make` should make of waveforms [B, C, N], where that can be said."""
        return None

    def heard(self, made: Tensor, like: Tensor) -> Tensor:
        """Waveforms of `made`; what it leaves open is taken from the original `like` [B, C, N]."""
        return made[..., : like.shape[-1]]

    def _ids(self, waveforms: Tensor) -> Tensor:
        ids: Tensor = self.quantizer.encode(self.encoder(waveforms))
        return ids.transpose(0, 1)

    def _made(self, ids: Tensor) -> Tensor:
        return self.make(self.quantizer.decode(ids.transpose(0, 1)))


def quantizer_settings(config: CodecConfig) -> dict[str, Any]:
    """Those of transformers' `EncodecConfig` that the quantizer follows from."""
    bits = config.codebook_size.bit_length() - 1
    a_second = -(-config.sample_rate // config.hop)
    return {
        "target_bandwidths": [(config.codebooks + 0.5) * a_second * bits / 1000],  # rounded down to whole codebooks
        "sampling_rate": config.sample_rate,
        "audio_channels": config.channels,
        "hidden_size": config.dimension,
        "codebook_size": config.codebook_size,
    }
