"""The normal noise of a block of frames, counted: it depends on the sequence, the block, the call and the element."""

import math
from typing import Protocol

import torch
from torch import Tensor

from models.decoding.noise import philox, to_normal

FRAMES = 3  # the third counter word of Philox: other streams of a sequence use 0 to 2
WORDS = 4
CALLS = 1 << 16  # a block's number and a call's share a counter word
START = 0


class FrameNoise(Protocol):
    """The source of a block's noise; parity tests inject one that replays recorded streams."""

    def normal(self, key: Tensor, block: Tensor, call: Tensor, shape: tuple[int, int, int]) -> Tensor:
        """float32 [N, *shape] for rows of `sequence_key` key [N], block [N] and call [N].

        Call `START` is what a block starts from, 1 + s what its network call s adds.
        """
        ...


class CounterFrameNoise:
    """Box-Muller over Philox words, four elements each."""

    def normal(self, key: Tensor, block: Tensor, call: Tensor, shape: tuple[int, int, int]) -> Tensor:
        elements = math.prod(shape)
        quads = math.ceil(elements / WORDS)
        quad = torch.arange(quads, device=key.device).repeat(len(key))  # [N * quads]
        each, when = (t.repeat_interleave(quads) for t in (key, block * CALLS + call))
        drawn = to_normal(philox(each, quad, when, FRAMES))
        return drawn.reshape(len(key), -1)[:, :elements].unflatten(1, shape)
