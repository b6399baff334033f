"""Kept keys and values of both stacks (ReCAP, arXiv 2505.19089), in slots of fixed size.

A reuse step's rows and the kept ones make up at most buffer + L rows in either stack. The decoder's slot holds every
place at its own row: a reuse step overwrites its group's. The encoder's holds the buffer, the tokens known when the
group began, then those that the group adds: attention sees its first rows, in whatever order they came.
"""

import torch

from models.decoding.slots import KVSlots
from models.mar.config import MARConfig


class StackSlots:
    """A branch holds one slot per stack, from the first step of a group to its last."""

    def __init__(self, config: MARConfig, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        def slots(depth: int, dim: int, heads: int) -> KVSlots:
            return KVSlots(depth, config.slots, heads, dim // heads, device, dtype)

        self.encoder = slots(config.encoder_depth, config.encoder_dim, config.encoder_heads)
        self.decoder = slots(config.decoder_depth, config.decoder_dim, config.decoder_heads)

    def take(self, count: int) -> list[tuple[int, int]]:
        """Slots (encoder, decoder) for `count` branches."""
        encoder = self.encoder.take(count)
        try:
            return list(zip(encoder, self.decoder.take(count), strict=True))
        except BaseException:  # lack of memory
            self.encoder.give(encoder)
            raise

    def give(self, pairs: list[tuple[int, int]]) -> None:
        self.encoder.give([encoder for encoder, _ in pairs])
        self.decoder.give([decoder for _, decoder in pairs])

    @property
    def in_use(self) -> int:
        """Of the stack that has more of them."""
        return max(self.encoder.in_use, self.decoder.in_use)

    @property
    def branch_bytes(self) -> int:
        """What one branch holds."""
        return self.encoder.slot_bytes + self.decoder.slot_bytes
