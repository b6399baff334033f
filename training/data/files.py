"""Files of a folder, and arrays that are written piece by piece."""

from collections.abc import Set
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

AT_ONCE = 256  # rows


def files_in(folder: Path, suffixes: Set[str]) -> list[Path]:
    """With one of the `suffixes`, at any depth, none of it hidden; in the order of their names."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def raw_to_npy(raw: Path, path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> None:
    """The rows in `raw` become an array that can be mapped; `raw` is deleted."""
    out = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    found = np.memmap(raw, dtype=dtype, mode="r", shape=shape)
    for first in range(0, len(found), AT_ONCE):
        out[first : first + AT_ONCE] = found[first : first + AT_ONCE]
    out.flush()
    raw.unlink()
