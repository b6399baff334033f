"""What a noise level looks like to the network."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SLOWEST = 10000.0


def time_features(t: Tensor, width: int) -> Tensor:
    """Levels [B], 0 to T-1 -> float32 [B, width]: sines, then cosines, a zero where `width` is odd.

    A level of 999 makes a last bit of a frequency 1000 times larger than that of a sine: exponents are float32 as in
    the published code, and exp is rounded from double precision, as it should be on any machine.
    """
    half = width // 2
    exponents = torch.arange(half, dtype=torch.float32, device=t.device) * -(math.log(SLOWEST) / (half - 1))
    angles = t.float().unsqueeze(-1) * exponents.double().exp().float()  # [B, half]
    return F.pad(torch.cat([angles.sin(), angles.cos()], dim=-1), (0, width % 2))
