"""The KL autoencoder (`AutoencoderKL` of the diffusers library) between pixels and latents."""

from typing import Any

import torch
from torch import Tensor

from models.tokenizers.base import Tokenizer
from models.tokenizers.kl_config import KLConfig
from models.tokenizers.microbatch import in_microbatches

LOG_VARIANCE = (-30.0, 20.0)


class KLAutoencoder(Tokenizer):
    """The parts of an `AutoencoderKL`, under the names they have there.

    Images pass in micro-batches on every path without gradients, so an image's bits do not depend on its neighbours.
    `distribution` and `pixels` are for training.
    """

    config: KLConfig

    def __init__(self, config: KLConfig) -> None:
        super().__init__()
        from diffusers import AutoencoderKL  # seconds of imports: not before there is such a model

        self.config = config
        down = ("DownEncoderBlock2D", "AttnDownEncoderBlock2D")
        model: Any = AutoencoderKL(
            in_channels=config.in_channels,
            out_channels=config.in_channels,
            down_block_types=tuple(down[attends] for attends in config.attention),
            up_block_types=("UpDecoderBlock2D",) * len(config.attention),
            block_out_channels=config.block_out_channels,
            layers_per_block=config.layers_per_block,
            latent_channels=config.latent_channels,
            norm_num_groups=config.norm_num_groups,
            sample_size=config.resolution,
            scaling_factor=config.scaling_factor,
        )
        self.encoder = model.encoder
        self.quant_conv = model.quant_conv
        self.post_quant_conv = model.post_quant_conv
        self.decoder = model.decoder

    @torch.no_grad()
    def moments(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images [B, C, H, W] in [0, 1] -> mean and standard deviation of their latents [B, c, h, w], unscaled."""
        mean, log_variance = in_microbatches(self._moments, images).chunk(2, dim=1)
        return mean, (0.5 * log_variance.clamp(*LOG_VARIANCE)).exp()

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] in [0, 1] -> their mean latents as a generator sees them, scaled, [B, c, h, w]."""
        return self.moments(images)[0] * self.config.scaling_factor

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Scaled latents [B, c, h, w] -> images [B, C, H, W] clipped to [0, 1]."""
        return in_microbatches(self.pixels, codes / self.config.scaling_factor).clamp(0.0, 1.0)

    def distribution(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images [B, C, H, W] in [0, 1] -> mean and log variance of their latents float32 [B, c, h, w], unscaled."""
        mean, log_variance = self._moments(images).float().chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCE)

    def pixels(self, latents: Tensor) -> Tensor:
        """Unscaled latents [B, c, h, w] -> images [B, C, H, W], not clipped."""
        out: Tensor = self.decoder(self.post_quant_conv(latents))
        return (out + 1.0) / 2.0

    def _moments(self, images: Tensor) -> Tensor:
        out: Tensor = self.quant_conv(self.encoder(images * 2.0 - 1.0))
        return out
