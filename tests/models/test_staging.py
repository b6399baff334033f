"""A directory appears complete, or not at all."""

import errno
import os
from pathlib import Path

import pytest

from models.checkpoint import CheckpointError
from models.staging import fresh_directory


def test_it_appears_when_the_block_ends(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    with fresh_directory(out) as place:
        (place / "file").write_text("x")
        assert not out.exists()
    assert [path.name for path in out.iterdir()] == ["file"]
    assert list(out.parent.iterdir()) == [out]
    assert out.stat().st_mode & 0o777 == 0o755


def test_an_empty_directory_may_be_there(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with fresh_directory(tmp_path / "out") as place:
        (place / "file").write_text("x")
    assert (tmp_path / "out" / "file").is_file()


def test_nothing_is_left_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"out: No space left on device"), fresh_directory(tmp_path / "out"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    with pytest.raises(CheckpointError, match="is a file"), fresh_directory(tmp_path / "file"):
        pass
    with pytest.raises(CheckpointError, match="full is not empty"), fresh_directory(tmp_path / "full"):
        pass
    with pytest.raises(CheckpointError, match="file is a file"), fresh_directory(tmp_path / "file" / "out"):
        pass
    assert (tmp_path / "full" / "file").read_text() == "x"
