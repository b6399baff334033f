"""The pictures of a model card: samples, their nearest training images, curves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.architecture import parse_architecture
from models.spec import Sampling
from training.curves import draw_curves, smoothed
from training.data.images import ImageSet
from training.evaluate.metrics import balanced_labels
from training.evaluate.neighbours import nearest
from training.evaluate.sampling import load_decoder, sample_images
from training.journal import read_journal
from training.pictures import grid, save_png

COLUMNS, ROWS, COMPARED = 10, 10, 30
SMALL = 64  # pixels a side up to which pictures are shown at twice their size


def draw_samples(place: Path, sampling: dict[str, Any], seed: int, pool: ImageSet) -> dict[str, str]:
    """Draw `samples.png` and `neighbours.png` into checkpoint `place`: file -> caption.

    A column for each of ten classes or captions, sample i with seed `seed + i`. `pool`: training images.
    """
    shown = pool.shown(COLUMNS)
    columns = len(shown) if len(shown) > 1 else COLUMNS
    labels = shown[balanced_labels(len(shown), ROWS * columns)]
    how = parse_architecture(Sampling, sampling, "decoding")
    images = sample_images(load_decoder(place), labels, how, seed)
    save_png(grid(images, columns), place / "samples.png", _scale(images))
    draw_neighbours(images[:COMPARED], pool.images, place / "neighbours.png")
    names = ", ".join(pool.name(label) for label in shown)
    each = f", a column for each of: {names}" if len(shown) > 1 else ""
    return {
        "samples.png": f"Samples with the seeds {seed} to {seed + len(images) - 1}{each}.",
        "neighbours.png": f"The first {min(COMPARED, len(images))} of them, and under each the training image that is "
        "closest in pixels.",
    }


def draw_neighbours(samples: Tensor, pool: Tensor, path: Path) -> None:
    """Samples [N, C, H, W] in rows of ten, under each the training image closest in pixels."""
    found = pool[nearest(samples, pool)]
    pairs = zip(samples.split(COLUMNS), found.split(COLUMNS), strict=True)
    save_png(grid(torch.cat([row for pair in pairs for row in pair]), COLUMNS), path, _scale(samples))


def draw_run(run: Path, title: str, names: Sequence[str], path: Path) -> bool:
    """Curves of `loss/NAME` entries of a run directory; False when it has too few entries."""
    journal = read_journal(run)
    curves = {
        name: smoothed([(e["step"], e[f"loss/{name}"]) for e in journal if f"loss/{name}" in e]) for name in names
    }
    drawn = {name: points for name, points in curves.items() if len(points) > 1}
    if drawn:
        draw_curves(title, drawn, path)
    return bool(drawn)


def _scale(images: Tensor) -> int:
    return 2 if images.shape[-1] <= SMALL else 1
