"""Published statistics: read, and refused in one line."""

from pathlib import Path

import numpy as np
import pytest
import torch

from training.evaluate.frechet import frechet_distance
from training.evaluate.statistics import read_statistics


def test_statistics_stand_for_the_cloud_they_are_of(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(60, 5, dtype=torch.float64, generator=generator) * scale for scale in (1, 2))
    np.savez(tmp_path / "s.npz", mu=b.mean(0).numpy(), sigma=np.cov(b.numpy(), rowvar=False))
    stored = read_statistics(tmp_path / "s.npz")
    assert stored.dimensions == 5
    assert frechet_distance(a, stored) == pytest.approx(frechet_distance(a, b), rel=1e-6)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"mean": np.zeros(2)}, "it has mean, not mu and sigma"),
        ({"mu": np.zeros(2), "sigma": np.zeros((3, 3))}, r"mu is \[2\] and sigma \[3, 3\]"),
        ({"mu": np.zeros(2), "sigma": np.full((2, 2), np.nan)}, "not finite"),
        ({"mu": np.zeros(2), "sigma": np.array([[1.0, 2.0], [0.0, 1.0]])}, "not symmetric"),
        ({"mu": np.array(["a", "b"]), "sigma": np.eye(2)}, "could not convert"),
    ],
)
def test_other_arrays_are_refused(arrays: dict[str, np.ndarray], says: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", **arrays)
    with pytest.raises(ValueError, match=says) as caught:
        read_statistics(tmp_path / "s.npz")
    assert "\n" not in str(caught.value) and "s.npz" in str(caught.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("nothing")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 cut off")
    np.save(tmp_path / "one.npy", np.zeros(3))
    for name in ("text.npz", "cut.npz", "one.npy", "missing.npz"):
        with pytest.raises(ValueError, match=f"{name}: not FID statistics"):
            read_statistics(tmp_path / name)
