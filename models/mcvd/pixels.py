"""Frames as clients have them, uint8 [n, H, W, C], and as the network has them: channels [n * C, H, W] in [-1, 1]."""

import numpy as np
import torch
from torch import Tensor

LEVELS = 255.0


def to_channels(frames: np.ndarray) -> Tensor:
    """float32; frame-major, colour by colour."""
    turned = torch.from_numpy(frames).permute(0, 3, 1, 2).flatten(0, 1)
    return turned.float() * (2.0 / LEVELS) - 1.0


def to_frames(channels: Tensor, colours: int) -> np.ndarray:
    """What lies beyond [-1, 1] is cut off."""
    pixels = ((channels.float().clamp(-1.0, 1.0) + 1.0) * (LEVELS / 2.0)).round().to(torch.uint8)
    return pixels.unflatten(0, (-1, colours)).permute(0, 2, 3, 1).contiguous().cpu().numpy()
