"""A `VQModel` of the diffusers library as image tokenizer."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.tokenizers.base import Tokenizer
from models.tokenizers.diffusers_config import DiffusersVQConfig
from models.tokenizers.microbatch import in_microbatches


class DiffusersVQ(Tokenizer):
    """The parts of a `VQModel`, under the names they have there.

    The VQModel itself sees pixels in [-1, 1]. Images pass in micro-batches on every path, so memory is bounded too.
    """

    config: DiffusersVQConfig

    def __init__(self, config: DiffusersVQConfig) -> None:
        super().__init__()
        from diffusers import VQModel  # seconds of imports: not before there is such a model

        self.config = config
        model: Any = VQModel(
            in_channels=config.in_channels,
            out_channels=config.in_channels,
            down_block_types=config.down_block_types,
            up_block_types=config.up_block_types,
            block_out_channels=config.block_out_channels,
            layers_per_block=config.layers_per_block,
            act_fn=config.act_fn,
            latent_channels=config.latent_channels,
            num_vq_embeddings=config.num_vq_embeddings,
            norm_num_groups=config.norm_num_groups,
            vq_embed_dim=config.vq_embed_dim,
            mid_block_add_attention=config.mid_block_add_attention,
        )
        self.encoder = model.encoder
        self.quant_conv = model.quant_conv
        self.quantize = model.quantize
        self.post_quant_conv = model.post_quant_conv
        self.decoder = model.decoder

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] in [0, 1] -> ids [B, L], int64, raster order."""
        return in_microbatches(self._ids, images)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Ids [B, L] -> images [B, C, H, W] clipped to [0, 1]."""
        return in_microbatches(self._images, codes)

    def latents(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] in [0, 1] -> features [B, z, h, w] before quantisation."""
        features: Tensor = self.quant_conv(self.encoder(images * 2.0 - 1.0))
        return features

    def _ids(self, images: Tensor) -> Tensor:
        nearest: Tensor = self.quantize(self.latents(images))[2][2]  # [B*L]
        return nearest.reshape(len(images), -1)

    def _images(self, ids: Tensor) -> Tensor:
        rows = F.embedding(ids, self.quantize.embedding.weight)  # [B, L, z]
        features = rows.mT.unflatten(2, self.config.grid).contiguous()  # [B, z, h, w]
        pixels: Tensor = self.decoder(self.post_quant_conv(features))
        return ((pixels + 1.0) / 2.0).clamp(0.0, 1.0)
