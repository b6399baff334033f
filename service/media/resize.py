"""Pictures and masks at another size."""

import numpy as np
from PIL import Image


def resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 [H, W, C] to (width, height): whole multiples repeat pixels, anything else is smooth."""
    height, width, channels = pixels.shape
    if (width, height) == size:
        return pixels
    whole = size[0] % width == 0 and size[1] % height == 0
    method = Image.Resampling.NEAREST if whole else Image.Resampling.LANCZOS
    picture = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
    return np.array(picture.resize(size, method)).reshape(size[1], size[0], channels)


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """bool [H, W] to (width, height): a cell is masked as soon as any pixel below it is."""
    share = Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BOX)
    return np.asarray(share) > 0.0
