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
) -> Tensor:
    """Mean over blocks x [B, F * C, S, S] of half the summed squares of the noise's error (its sum with "l1"), [].

    frames [B, K, S, S] are those around the blocks, hidden ones zeros; `past_shown` [B] as in `MCVD.condition`.
    """
    predicted = network(noised(levels, x, t, z), t, network.condition(frames, past_shown)).float()
    if norm == "l1":
        return F.l1_loss(predicted, z, reduction="sum") / len(x)
    return F.mse_loss(predicted, z, reduction="sum") / (2 * len(x))
