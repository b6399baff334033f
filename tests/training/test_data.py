"""Loaders: idx files, the hint when they are missing, shapes."""

import gzip
import struct
from pathlib import Path

import pytest
import torch

from training.data import MissingDataError, load


def write_idx(path: Path, values: torch.Tensor) -> None:
    header = struct.pack(f">BBBB{values.dim()}I", 0, 0, 8, values.dim(), *values.shape)
    path.write_bytes(gzip.compress(header + values.byte().numpy().tobytes()))


def test_fashion_is_read_and_padded(tmp_path: Path) -> None:
    images = torch.arange(2 * 28 * 28).reshape(2, 28, 28) % 255
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", images)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", torch.tensor([9, 3]))
    data = load("fashion", "test", tmp_path)
    assert data.images.shape == (2, 1, 32, 32)
    assert torch.equal(data.images[:, 0, 2:30, 2:30], images.byte())
    assert data.images[:, :, :2].sum() == 0 and data.images[..., 30:].sum() == 0
    assert [data.classes[i] for i in data.labels] == ["ankle boot", "dress"]


def test_missing_files_name_the_package(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="apt-get install dataset-fashion-mnist"):
        load("fashion", "train", tmp_path)


def test_unknown_data_set_is_refused() -> None:
    with pytest.raises(ValueError, match="fashion, shapes"):
        load("imagenet", "train")


def test_shapes_repeat_and_splits_differ() -> None:
    train, again, test = load("shapes", "train"), load("shapes", "train"), load("shapes", "test")
    assert torch.equal(train.images, again.images)
    assert not torch.equal(train.images, test.images)
    assert train.images.shape == (512, 3, 16, 16)
    assert torch.bincount(train.labels).tolist() == [128] * 4


def test_shapes_of_each_class_differ() -> None:
    data = load("shapes", "train")
    lit = [(data.images[data.labels == c] > 0).float().mean() for c in range(4)]
    assert len({round(float(share), 2) for share in lit}) > 2
