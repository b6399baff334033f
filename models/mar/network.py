"""MAR (arXiv 2406.11838): an encoder of the known tokens, a decoder over all places, a diffusion head per token.

The forward is written over packed rows, so that sequences with any number of known tokens share the linear layers; who
attends to whom is the caller's `attend`.
"""

import torch
from torch import Tensor, nn

from models.mar.attention import Ragged
from models.mar.config import MARConfig
from models.mar.head import DiffusionHead
from models.mar.pack import Branch, pack
from models.mar.transformer import Attend, Stack


class MAR(nn.Module):
    """Slots 0 to `buffer` - 1 carry the class, slot `buffer` + p the token at position p.

    Labels are classes, or `config.null_class` for the unconditional branch.
    """

    def __init__(self, config: MARConfig) -> None:
        super().__init__()
        self.config = config
        encoder, decoder = config.encoder_dim, config.decoder_dim
        self.class_embedding = nn.Embedding(config.num_classes, encoder)
        self.null_condition = nn.Parameter(torch.empty(encoder))
        self.token_in = nn.Linear(config.token_channels, encoder)
        self.encoder_positions = nn.Parameter(torch.empty(config.slots, encoder))
        self.token_norm = nn.LayerNorm(encoder, eps=1e-6)
        self.encoder = Stack(encoder, config.encoder_depth, config.encoder_heads, config.mlp_ratio, config.dropout)
        self.encoder_norm = nn.LayerNorm(encoder, eps=1e-6)
        self.decoder_in = nn.Linear(encoder, decoder)
        self.mask_token = nn.Parameter(torch.empty(decoder))
        self.decoder_positions = nn.Parameter(torch.empty(config.slots, decoder))
        self.decoder = Stack(decoder, config.decoder_depth, config.decoder_heads, config.mlp_ratio, config.dropout)
        self.decoder_norm = nn.LayerNorm(decoder, eps=1e-6)
        self.head_positions = nn.Parameter(torch.empty(config.length, decoder))
        self._initialise()
        self.head = DiffusionHead(config)

    def _initialise(self) -> None:
        for layer in (m for m in self.modules() if isinstance(m, nn.Linear)):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        tables = (self.encoder_positions, self.decoder_positions, self.head_positions)
        for parameter in (self.class_embedding.weight, self.null_condition, self.mask_token, *tables):
            nn.init.normal_(parameter, std=0.02)

    def condition(self, labels: Tensor) -> Tensor:
        """Labels [B] -> what their buffer slots hold, [B, D]."""
        null = (labels == self.config.null_class).unsqueeze(-1)
        rows = self.class_embedding(labels.clamp(max=self.config.num_classes - 1))
        return torch.where(null, self.null_condition, rows)

    def encode(self, values: Tensor, slot: Tensor, branch: Tensor, conditions: Tensor, attend: Attend) -> Tensor:
        """Packed rows: token values [R, C] (any in buffer slots) at `slot` [R] of `branch` [R] -> [R, D].

        conditions [B, D] belong to the branches.
        """
        buffer = (slot < self.config.buffer).unsqueeze(-1)
        rows = torch.where(buffer, conditions[branch], self.token_in(values.to(conditions.dtype)))
        rows = self.token_norm(rows + self.encoder_positions[slot])
        out: Tensor = self.encoder_norm(self.encoder(rows, attend))
        return out

    def decode(self, encoded: Tensor, source: Tensor, slot: Tensor, attend: Attend) -> Tensor:
        """Packed rows at `slot` [Q], each row `source` [Q] of `encoded` [R, D], or unknown where that is -1 -> [Q, D'].

        The last LayerNorm is missing: `place` applies it where it is needed.
        """
        unknown = (source < 0).unsqueeze(-1)
        rows = torch.where(unknown, self.mask_token, self.decoder_in(encoded)[source.clamp(min=0)])
        out: Tensor = self.decoder(rows + self.decoder_positions[slot], attend)
        return out

    def place(self, decoded: Tensor, position: Tensor) -> Tensor:
        """Decoder rows [N, D'] of tokens at `position` [N] -> what the head is conditioned on, z [N, D']."""
        z: Tensor = self.decoder_norm(decoded) + self.head_positions[position]
        return z

    def forward(self, tokens: Tensor, labels: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [B, L, C], labels [B], known bool [B, L] -> z [U, D'] of all U unknown tokens, row by row, and [B, U].

        The second result is the first's index: `known` inverted. Values of unknown tokens have no influence.
        """
        conditions = self.condition(labels)
        branches = [
            Branch(tokens=row, shown=seen.nonzero().squeeze(-1), wanted=(~seen).nonzero().squeeze(-1))
            for row, seen in zip(tokens, known, strict=True)
        ]
        packed = pack(self.config, branches)
        dropout = self.config.dropout if self.training else 0.0
        encoder, decoder = (Ragged(spans, dropout=dropout) for spans in (packed.encoder_spans, packed.decoder_spans))
        encoded = self.encode(packed.values, packed.encoder_slot, packed.branch, conditions, encoder)
        decoded = self.decode(encoded, packed.source, packed.decoder_slot, decoder)
        return self.place(decoded[packed.wanted], packed.position), ~known
