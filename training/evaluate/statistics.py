"""Published reference statistics: mean and covariance of a data set's features, as an npz file."""

import zipfile
from pathlib import Path

import numpy as np
import torch

from training.evaluate.frechet import Gaussian

SKEW = 1e-3  # how far a covariance may be from symmetric, as a share of its largest entry


def read_statistics(path: Path) -> Gaussian:
    """Read `mu` [D] and `sigma` [D, D] from an npz file. Raises ValueError, in one line, for anything else."""
    try:
        with path.open("rb") as raw, zipfile.ZipFile(raw) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
            if not {"mu", "sigma"} <= names:
                raise ValueError(f"it has {', '.join(sorted(names)) or 'nothing'}, not mu and sigma")
            mean, covariance = (_array(archive, key) for key in ("mu", "sigma"))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not FID statistics: {_line(error)}") from None
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        shapes = f"mu is {list(mean.shape)} and sigma {list(covariance.shape)}"
        raise ValueError(f"{path}: not FID statistics: {shapes}, not [D] and [D, D]")
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise ValueError(f"{path}: not FID statistics: there are values that are not finite")
    if np.abs(covariance - covariance.T).max(initial=0) > SKEW * np.abs(covariance).max(initial=0):
        raise ValueError(f"{path}: not FID statistics: sigma is not symmetric")
    return Gaussian.from_moments(torch.from_numpy(mean), torch.from_numpy(covariance))


def _array(archive: zipfile.ZipFile, key: str) -> np.ndarray:
    with archive.open(f"{key}.npy") as file:
        return np.lib.format.read_array(file, allow_pickle=False).astype(np.float64)


def _line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).splitlines() or [type(error).__name__])[0]
