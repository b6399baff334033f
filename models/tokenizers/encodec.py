"""EnCodec (`EncodecModel` of the transformers library) between waveforms and ids."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.tokenizers.encodec_config import EnCodecConfig, read_encodec
from models.tokenizers.microbatch import in_microbatches
from models.weights import load_module


class EnCodec(nn.Module):
    """The parts of an `EncodecModel`, under the names they have there.

    Waveforms of equal length pass in micro-batches, so that one's bits do not depend on its neighbours.
    """

    def __init__(self, config: EnCodecConfig) -> None:
        super().__init__()
        from transformers import EncodecConfig, EncodecModel  # seconds of imports: not before there is such a model

        self.config = config
        bits = config.codebook_size.bit_length() - 1
        a_second = -(-config.sample_rate // config.hop)
        model: Any = EncodecModel(
            EncodecConfig(
                target_bandwidths=[
                    (config.codebooks + 0.5) * a_second * bits / 1000
                ],  # rounded down to whole codebooks
                sampling_rate=config.sample_rate,
                audio_channels=config.channels,
                hidden_size=config.dimension,
                num_filters=config.filters,
                num_residual_layers=config.residual_layers,
                upsampling_ratios=list(config.ratios),
                kernel_size=config.kernel_size,
                last_kernel_size=config.last_kernel_size,
                residual_kernel_size=config.residual_kernel_size,
                dilation_growth_rate=config.dilation_base,
                use_causal_conv=config.causal,
                pad_mode=config.pad_mode,
                compress=config.compress,
                num_lstm_layers=config.lstm_layers,
                codebook_size=config.codebook_size,
                use_conv_shortcut=config.shortcut,
            )
        )
        self.encoder = model.encoder
        self.quantizer = model.quantizer
        self.decoder = model.decoder

    @torch.no_grad()
    def encode(self, waveforms: Tensor) -> Tensor:
        """Waveforms [B, C, N] in [-1, 1] -> ids [B, K, T], int64, T = ceil(N / hop)."""
        return in_microbatches(self._ids, waveforms)

    @torch.no_grad()
    def decode(self, ids: Tensor) -> Tensor:
        """ids [B, k, T] of the first k <= K codebooks -> waveforms [B, C, T * hop], not clipped.

        Fewer codebooks give a coarser sound.
        """
        return in_microbatches(self._waveforms, ids)

    def _ids(self, waveforms: Tensor) -> Tensor:
        ids: Tensor = self.quantizer.encode(self.encoder(waveforms))
        return ids.transpose(0, 1)

    def _waveforms(self, ids: Tensor) -> Tensor:
        waveforms: Tensor = self.decoder(self.quantizer.decode(ids.transpose(0, 1)))
        return waveforms


def load_encodec(place: Path) -> EnCodec:
    """The codec of the tokenizer directory `place`, on the CPU. Raises CheckpointError."""
    return load_module(EnCodec(read_encodec(place)), place)
