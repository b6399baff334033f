"""Grids of images and PNG files."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor


def grid(images: Tensor, columns: int) -> Tensor:
    """uint8 [N, C, H, W] -> one picture [C, rows*(H+1)+1, columns*(W+1)+1] with thin grey lines between."""
    n, c, h, w = images.shape
    rows = -(-n // columns)
    sheet = torch.full((c, rows * (h + 1) + 1, columns * (w + 1) + 1), 128, dtype=torch.uint8)
    for i, image in enumerate(images):
        y, x = (i // columns) * (h + 1) + 1, (i % columns) * (w + 1) + 1
        sheet[:, y : y + h, x : x + w] = image
    return sheet


def save_png(picture: Tensor, path: Path, scale: int = 1) -> None:
    """uint8 [C, H, W] (C 1 or 3) -> a PNG file, enlarged `scale` times by repeating pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    big = picture.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    array = big[0].numpy() if len(big) == 1 else big.permute(1, 2, 0).numpy()
    Image.fromarray(array).save(path, optimize=True)
