"""Counter-based randomness of MAR: the order in which places are revealed, and the noise of their chains.

Both are streams of the sequence's own key. Purposes are told apart by the third counter word of Philox, which the
uniforms of `models.decoding.noise` leave at 0; so no stream of theirs changes.
"""

import math
from typing import Protocol

import torch
from torch import Tensor

from models.decoding.noise import philox, to_normal

ORDER = 1
CHAIN = 2
WORDS = 4
STEPS = 1 << 16  # a chain step and a block of channels share a counter word


def reveal_order(key: int, length: int, device: str = "cpu") -> Tensor:
    """A uniform permutation [L] of the positions for `sequence_key` `key`: the first is revealed first."""
    positions = torch.arange(length, device=device)
    words = philox(torch.full_like(positions, key), positions, torch.zeros_like(positions), ORDER)
    return (words[0] << 31 | words[1] >> 1).argsort(stable=True)  # 63 bits: no ties


class ChainNoise(Protocol):
    """The source of a chain's normal numbers; parity tests inject one that replays recorded streams."""

    def normal(self, key: Tensor, position: Tensor, step: Tensor, channels: int) -> Tensor:
        """float32 [N, C] for rows of `sequence_key` key [N], grid position [N] and step [N].

        Step 0 is what a chain starts from, 1 + s the noise of its s-th reverse step.
        """
        ...


class CounterChainNoise:
    """Box-Muller over Philox words."""

    def normal(self, key: Tensor, position: Tensor, step: Tensor, channels: int) -> Tensor:
        blocks = math.ceil(channels / WORDS)
        block = torch.arange(blocks, device=key.device).repeat(len(key))  # [N * blocks]
        each, where, when = (t.repeat_interleave(blocks) for t in (key, position, step))
        words = philox(each, where, block * STEPS + when, CHAIN)  # [4, N * blocks]
        return to_normal(words).reshape(len(key), -1)[:, :channels]
