"""MAR and ReCAP once more, one sequence at a time, over official names and with concatenated caches: slow and plain."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.mar.config import MARConfig

Cache = list[tuple[Tensor, Tensor, Tensor]]  # per layer: slots [n], keys and values [n, D]


@dataclass
class Naive:
    config: MARConfig
    weights: Mapping[str, Tensor]  # official names

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def norm(self, name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], 1e-6)

    def stack(self, name: str, x: Tensor, slots: Tensor, cache: Cache | None) -> tuple[Tensor, Cache]:
        """x [n, D] at `slots`; attends to [cached | own]."""
        heads = getattr(self.config, f"{name}_heads")
        kept: Cache = []
        for at in range(getattr(self.config, f"{name}_depth")):
            here = f"{name}_blocks.{at}"
            q, k, v = self.linear(f"{here}.attn.qkv", self.norm(f"{here}.norm1", x)).chunk(3, dim=-1)
            kept.append((slots, k, v))
            if cache is not None:
                k, v = torch.cat([cache[at][1], k]), torch.cat([cache[at][2], v])
            q, k, v = (t.unflatten(1, (heads, -1)).transpose(0, 1) for t in (q, k, v))  # [H, n, E]
            weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1)
            x = x + self.linear(f"{here}.attn.proj", (weights @ v).transpose(0, 1).flatten(1))
            hidden = F.gelu(self.linear(f"{here}.mlp.fc1", self.norm(f"{here}.norm2", x)))
            x = x + self.linear(f"{here}.mlp.fc2", hidden)
        return self.norm(f"{name}_norm", x), kept

    def condition(self, label: int | None) -> Tensor:
        return self.weights["fake_latent"][0] if label is None else self.weights["class_emb.weight"][label]

    def embed(self, tokens: Tensor, slots: Tensor, label: int | None) -> Tensor:
        front = self.config.buffer
        rows = [
            self.condition(label) if at < front else self.linear("z_proj", tokens[at - front]) for at in slots.tolist()
        ]
        return self.norm("z_proj_ln", torch.stack(rows) + self.weights["encoder_pos_embed_learned"][0, slots])

    def rows(self, encoded: Tensor, inside: Tensor, slots: Tensor) -> Tensor:
        """What the decoder begins with at `slots`: encoder rows where there are some, else the mask token."""
        embedded = dict(zip(inside.tolist(), self.linear("decoder_embed", encoded), strict=True))
        mask = self.weights["mask_token"][0, 0]
        picked = torch.stack([embedded.get(at, mask) for at in slots.tolist()])
        return picked + self.weights["decoder_pos_embed_learned"][0, slots]

    def full(self, tokens: Tensor, known: Tensor, label: int | None) -> tuple[Tensor, Cache, Cache]:
        """z [L, D] of every position when the positions `known` are."""
        front, slots = torch.arange(self.config.buffer), torch.arange(self.config.slots)
        inside = torch.cat([front, known.sort().values + len(front)])
        encoded, encoder = self.stack("encoder", self.embed(tokens, inside, label), inside, None)
        decoded, decoder = self.stack("decoder", self.rows(encoded, inside, slots), slots, None)
        return decoded[len(front) :] + self.weights["diffusion_pos_embed_learned"][0], encoder, decoder

    def cached(
        self,
        tokens: Tensor,
        done: Tensor,
        group: Tensor,
        label: int | None,
        encoder: Cache,
        decoder: Cache,
        buffer_kept: bool,
    ) -> Tensor:
        """z of the positions `group`, of which `done` are known by now."""
        front = torch.arange(self.config.buffer)
        here = done.sort().values + len(front)
        places = group + len(front)
        if not buffer_kept:
            here, places = torch.cat([front, here]), torch.cat([front, places])
        old_encoder = [_without(layer, here) for layer in encoder]
        old_decoder = [_without(layer, places) for layer in decoder]
        encoded, _ = self.stack("encoder", self.embed(tokens, here, label), here, old_encoder)
        decoded, _ = self.stack("decoder", self.rows(encoded, here, places), places, old_decoder)
        return decoded[-len(group) :] + self.weights["diffusion_pos_embed_learned"][0, group]


def _without(layer: tuple[Tensor, Tensor, Tensor], slots: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    stay = ~torch.isin(layer[0], slots)
    return layer[0][stay], layer[1][stay], layer[2][stay]
