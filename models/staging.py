"""Directories that appear complete or not at all. Imports without torch."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.checkpoint import CheckpointError

MODE = 0o755


@contextmanager
def fresh_directory(out: Path) -> Iterator[Path]:
    """A directory to fill, which becomes `out` when the block ends well and is deleted when it does not.

    CheckpointError, in one line, where `out` is a file or holds something, and for errors of the disk.
    """
    place = out.resolve()
    stage: Path | None = None
    try:
        for path in (place, *place.parents):
            if path.is_file():
                raise CheckpointError(f"{path} is a file, not a directory")
        if place.is_dir() and any(place.iterdir()):
            raise CheckpointError(f"{out} is not empty: name a new directory")
        place.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        yield stage
        stage.chmod(MODE)  # mkdtemp makes it for its owner alone
        stage.rename(place)
    except OSError as error:
        raise CheckpointError(f"{out}: {error.strerror or error}") from None
    finally:
        if stage is not None:
            shutil.rmtree(stage, ignore_errors=True)
