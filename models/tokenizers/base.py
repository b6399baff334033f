"""What every image tokenizer offers to training and to the decoders."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from models.tokenizers.kinds import TokenizerConfig
from models.tokenizers.microbatch import in_microbatches


class Tokenizer(nn.Module, ABC):
    """Images [B, C, H, W] in [0, 1] <-> codes.

    Codes are ids [B, L] in raster order, or latents [B, c, h, w] where `config.codebook_size` is 0.
    """

    config: TokenizerConfig

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] in [0, 1] -> ids [B, L], int64, or latents [B, c, h, w]."""

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Ids [B, L] or latents [B, c, h, w] -> images [B, C, H, W] clipped to [0, 1]."""

    @torch.no_grad()
    def encode_batched(self, images: Tensor) -> Tensor:
        """`encode` whose bits do not depend on the other images of the call."""
        return in_microbatches(self.encode, images)

    @torch.no_grad()
    def decode_batched(self, codes: Tensor) -> Tensor:
        """`decode` whose bits do not depend on the other images of the call."""
        return in_microbatches(self.decode, codes)
