"""Curves and grids."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from training.curves import draw_curves, smoothed
from training.pictures import grid, save_png


def test_curves_are_drawn_in_their_colours(tmp_path: Path) -> None:
    lines = {"a": [(0.0, 1.0), (10.0, 0.5)], "b": [(0.0, 0.2), (10.0, 0.9)]}
    draw_curves("loss", lines, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as image:
        pixels = np.asarray(image)
    for colour in ((31, 119, 180), (214, 39, 40)):
        assert (pixels == colour).all(-1).sum() > 200


def test_a_constant_curve_is_fine(tmp_path: Path) -> None:
    draw_curves("flat", {"a": [(0.0, 1.0), (1.0, 1.0)]}, tmp_path / "flat.png")
    assert (tmp_path / "flat.png").is_file()


def test_smoothing_averages_neighbours() -> None:
    assert smoothed([(0, 0.0), (1, 3.0), (2, 6.0)], window=3) == [(0, 1.5), (1, 3.0), (2, 4.5)]


def test_grid_places_images_between_lines(tmp_path: Path) -> None:
    images = torch.arange(3).byte().view(3, 1, 1, 1).expand(3, 1, 2, 2)
    sheet = grid(images, columns=2)
    assert sheet.shape == (1, 7, 7)
    assert sheet[0, 1, 1] == 0 and sheet[0, 1, 4] == 1 and sheet[0, 4, 1] == 2
    save_png(sheet, tmp_path / "grid.png", scale=2)
    with Image.open(tmp_path / "grid.png") as image:
        assert image.size == (14, 14)
