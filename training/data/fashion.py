"""Fashion-MNIST (MIT, Zalando SE) from its idx files, padded from 28x28 to 32x32 with zeros."""

import gzip
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.data.images import ImageSet

PACKAGE_DIR = Path("/usr/share/datasets/fashion-mnist")
CLASSES = (
    "T-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
_STEMS = {"train": "train", "test": "t10k"}


class MissingDataError(FileNotFoundError):
    """The data set is not on this machine; the message says how to get it."""


def load_fashion(split: str, data_dir: Path | None = None) -> ImageSet:
    """The official split `train` (60,000) or `test` (10,000), uint8 [N, 1, 32, 32].

    Raises MissingDataError when the four `*-ubyte.gz` files are not in `data_dir` (default: where the Debian package
    puts them).
    """
    folder = data_dir or PACKAGE_DIR
    stem = _STEMS[split]
    images = read_idx(folder / f"{stem}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{stem}-labels-idx1-ubyte.gz")
    return ImageSet(F.pad(images[:, None], (2, 2, 2, 2)), labels.long(), CLASSES)


def read_idx(path: Path) -> Tensor:
    """A gzipped idx file of bytes -> uint8 tensor of the shape its header names."""
    if not path.is_file():
        raise MissingDataError(
            f"no Fashion-MNIST at {path}: apt-get install dataset-fashion-mnist (after apt-get update), "
            "or name a folder with the four *-ubyte.gz files by --data-dir"
        )
    raw = gzip.decompress(path.read_bytes())
    rank = raw[3]
    shape = np.frombuffer(raw, ">i4", count=rank, offset=4)
    body = np.frombuffer(raw, np.uint8, offset=4 + 4 * rank)
    return torch.from_numpy(body.reshape(shape.tolist()).copy())
