import errno
import os
import time
from pathlib import Path

import pytest

from service.artefacts.base import StoreAway, StoreFull
from service.artefacts.folder import LOCK, FolderStore
from tests.service.artefacts.clock import Clock

HOUR = 3600.0


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {LOCK}


def failing(code: int) -> object:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


async def test_two_stores_share_a_folder(tmp_path: Path) -> None:
    one, other = FolderStore(tmp_path), FolderStore(tmp_path)
    await one.put("a/b", b"from one", HOUR)
    assert await other.get("a/b") == b"from one"
    await other.put("a/b", b"from the other", HOUR)
    assert await one.get("a/b") == b"from the other"
    await other.delete("a/b")
    assert await one.get("a/b") is None
    await one.close()
    await other.close()
    assert names(tmp_path) == set()


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("code, error", [(errno.ENOSPC, StoreFull), (errno.EDQUOT, StoreFull), (errno.EIO, StoreAway)])
async def test_a_failed_write_leaves_the_old_content_and_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, error: type[Exception]
) -> None:
    store = FolderStore(tmp_path)
    await store.put("kept", b"old", HOUR)
    before = names(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(os, call, failing(code))
        with pytest.raises(error):
            await store.put("kept", b"new", HOUR)
        with pytest.raises(error):
            await store.put("other", b"new", HOUR)
    assert names(tmp_path) == before
    assert await store.get("kept") == b"old"
    await store.put("kept", b"new", HOUR)
    assert await store.get("kept") == b"new"
    await store.close()


async def test_a_folder_that_is_gone_is_away(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "mount")
    (tmp_path / "mount").rmdir()
    with pytest.raises(StoreAway):
        await store.put("a", b"", HOUR)
    with pytest.raises(StoreAway):
        await store.get("a")
    await store.close()


async def test_sweeping_removes_what_is_over_and_nothing_else(tmp_path: Path) -> None:
    clock = Clock()
    writer = FolderStore(tmp_path, clock)
    await writer.put("short", b"", 10)
    await writer.put("long", b"", HOUR)
    await writer.close()
    (tmp_path / "holiday.jpg").write_bytes(b"somebody's")
    (tmp_path / "mine.artefact").write_bytes(b"no header, though its name is like ours")
    (tmp_path / "folder.artefact").mkdir()
    foreign = {"holiday.jpg", "mine.artefact", "folder.artefact"}
    clock.time += 10
    assert await writer.get("short") is None
    assert names(tmp_path) == foreign | {"short.artefact", "long.artefact"}  # not a minute has passed
    clock.time += 50
    assert await writer.get("long") == b""
    await writer.close()
    assert names(tmp_path) == foreign | {"long.artefact"}


async def test_sweeping_removes_parts_that_a_crash_left(tmp_path: Path) -> None:
    for name, age in ("~crashed.part", 2 * HOUR), ("~writing.part", 60.0), ("yours.part", 2 * HOUR):
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    store = FolderStore(tmp_path, Clock())
    await store.put("a", b"", HOUR)
    await store.close()
    assert names(tmp_path) == {"~writing.part", "yours.part", "a.artefact"}


async def test_a_file_replaced_while_it_is_swept_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep has found it over; before it can lock the folder, another store puts the key again."""
    clock = Clock()
    store = FolderStore(tmp_path, clock)
    await store.put("a", b"old", 10)
    await store.close()
    new = FolderStore(tmp_path / "elsewhere", clock)
    await new.put("a", b"new", HOUR)
    await new.close()
    remove = FolderStore._remove

    def replaced_first(self: FolderStore, path: str) -> None:
        os.replace(tmp_path / "elsewhere" / "a.artefact", path)
        remove(self, path)

    monkeypatch.setattr(FolderStore, "_remove", replaced_first)
    clock.time += 60
    assert await store.get("unknown") is None
    await store.close()
    assert await store.get("a") == b"new"


async def test_a_sweep_that_fails_fails_no_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderStore(tmp_path)
    monkeypatch.setattr(os, "scandir", failing(errno.EIO))
    await store.put("a", b"content", HOUR)
    assert await store.get("a") == b"content"
    await store.close()
