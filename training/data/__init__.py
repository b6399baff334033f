"""Data sets by the name that recipes use."""

from pathlib import Path

from training.data.fashion import MissingDataError, load_fashion
from training.data.images import ImageSet
from training.data.shapes import load_shapes

NAMES = ("fashion", "shapes")

__all__ = ["NAMES", "ImageSet", "MissingDataError", "load"]


def load(name: str, split: str, data_dir: Path | None = None) -> ImageSet:
    """The split `train` or `test` of a data set. Raises ValueError for an unknown name, MissingDataError if absent."""
    if name == "fashion":
        return load_fashion(split, data_dir)
    if name == "shapes":
        return load_shapes(split)
    raise ValueError(f"data set {name!r} is not one of {', '.join(NAMES)}")
