"""Emoji as sprites: the PNGs of the npm package `emoji-datasource-google`."""

from pathlib import Path

import numpy as np
from PIL import Image

from training.data.fashion import MissingDataError

INSIDE = Path("package", "img", "google", "64")  # where `tar xzf` puts them
EVERY = 10  # of which one is for tests: with all its tones of skin and its companions


def load_emoji(split: str, data_dir: Path | None, side: int) -> np.ndarray:
    """`train` or `test`: uint8 [N, side, side, 4], in the order of their names; colours where alpha is 0 mean nothing.

    Raises MissingDataError where there is no folder of them in `data_dir`.
    """
    files = _files(data_dir)
    kinds = {kind: at for at, kind in enumerate(dict.fromkeys(map(_kind, files)))}
    chosen = [file for file in files if (kinds[_kind(file)] % EVERY == 0) == (split == "test")]
    sprites = []
    for file in chosen:
        with Image.open(file) as picture:
            small = picture.convert("RGBa").resize((side, side), Image.Resampling.BOX)  # alpha weighs colours
            sprites.append(np.asarray(small.convert("RGBA")))
    return np.stack(sprites)


def _kind(file: Path) -> str:
    """Its first code point."""
    return file.stem.split("-")[0]


def _files(data_dir: Path | None) -> list[Path]:
    start = data_dir or Path()
    for place in (start / INSIDE, start):
        files = sorted(place.glob("*.png"))
        if len(files) >= EVERY:
            return files
    raise MissingDataError(
        f"no emoji in {start}: run `npm pack emoji-datasource-google@16 && tar xzf emoji-datasource-google-16*.tgz` "
        "there, or name a folder of PNGs by --data-dir"
    )
