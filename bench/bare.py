"""What one writes without an engine: a plain sampling loop over network and tokenizer. Also the ceiling."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from models.maskgit.decoder import MaskGITDecoder
from models.maskgit.network import UViT
from models.tokenizers.base import Tokenizer

CHOICE = 4.5


class BareLoop:
    """MaskGIT's algorithm for a batch in lockstep, all rows through the head, the noise from torch."""

    def __init__(self, decoder: MaskGITDecoder) -> None:
        self.network: UViT = decoder.network
        self.project = decoder.project
        self.tokenizer: Tokenizer = decoder.tokenizer
        self.config = decoder.config
        self.device = decoder.device

    @torch.inference_mode()
    def generate(self, labels: Tensor, steps: int) -> Tensor:
        """Labels [B] -> images [B, C, H, W] in [0, 1]."""
        length = self.config.length
        ids = torch.full((len(labels), length), self.config.mask_id, device=self.device)
        for step in range(steps):
            masked = 0 if step + 1 == steps else math.floor(length * math.cos(math.pi / 2 * (step + 1) / steps))
            unknown = ids == self.config.mask_id
            probabilities = self._logits(ids, labels).softmax(-1)  # [B, L, K]
            drawn = probabilities.flatten(0, 1).multinomial(1).view_as(ids)
            chance = probabilities.gather(-1, drawn.unsqueeze(-1)).squeeze(-1).log()
            gumbel = -torch.empty_like(chance).exponential_().log()
            score = chance + CHOICE * (1 - (step + 1) / steps) * gumbel
            score.masked_fill_(~unknown, torch.inf)
            kept = score.topk(length - masked, dim=-1).indices
            ids.scatter_(1, kept, torch.where(unknown, drawn, ids).gather(1, kept))
        return self.tokenizer.decode(ids)

    @torch.inference_mode()
    def forwards(self, labels: Tensor, steps: int) -> Tensor:
        """The same network and tokenizer calls, nothing sampled: no loop can be faster at this batch size."""
        ids = torch.full((len(labels), self.config.length), self.config.mask_id, device=self.device)
        for _ in range(steps):
            self._logits(ids, labels)
        return self.tokenizer.decode(ids.clamp(max=self.config.codebook_size - 1))

    def _logits(self, ids: Tensor, labels: Tensor) -> Tensor:
        """[B, L] -> [B, L, K], the packed form of `UViT.forward`."""
        size, rows = len(ids), self.config.length + 1
        positions = torch.arange(self.config.length, device=self.device).expand_as(ids)
        classes = self.network.embed_condition(self.network.condition(labels))[:, None]
        x = torch.cat([classes, self.network.embed_tokens(ids, positions)], dim=1).flatten(0, 1)

        def attend(block: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            q, k, v = (t.view(size, rows, *t.shape[1:]).transpose(1, 2) for t in (q, k, v))
            return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(0, 1)

        features = self.network.trunk(x, attend).view(size, rows, -1)[:, 1:]
        logits = self.project(self.network.mlm_layer(features.flatten(0, 1)))
        return logits.float().view(size, rows - 1, -1)
