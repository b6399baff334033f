"""What the network is trained on: the noise in a block of frames."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from models.mcvd.diffusion import Levels
from models.mcvd.network import MCVD

Norm = Literal["l2", "l1"]


def noised(levels: Levels, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
    """Blocks x [B, K, S, S] at noise levels t [B], z standard normal."""
    kept = levels.kept[t][:, None, None, None]
    return kept.sqrt() * x + (1.0 - kept).sqrt() * z


def noise_loss(
    network: MCVD,
    levels: Levels,
    x: Tensor,
    frames: Tensor,
    t: Tensor,
    z: Tensor,
    past_shown: Tensor | None = None,
    norm: Norm = "l2",
    weights: Tensor | None = None,
) -> Tensor:
    """Mean over blocks x [B, F * C, S, S] of half the summed squares of the noise's error (its sum with "l1"), [].

    frames [B, K, S, S] are those around the blocks, hidden ones zeros; `past_shown` [B] as in `MCVD.condition`;
    weights [B] of the blocks, all 1 as published.
    """
    predicted = network(noised(levels, x, t, z), t, network.condition(frames, past_shown)).float()
    error = F.l1_loss if norm == "l1" else F.mse_loss
    each = error(predicted, z, reduction="none").sum(dim=(1, 2, 3))
    total = each.sum() if weights is None else each @ weights
    return total / len(x) if norm == "l1" else total / (2 * len(x))
