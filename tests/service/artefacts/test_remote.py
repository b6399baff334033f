import errno
import os
from pathlib import Path

import fsspec
import pytest

from service.artefacts.base import StoreAway, StoreFull
from service.artefacts.remote import RemoteStore
from tests.service.artefacts.clock import Clock

HOUR = 3600.0


@pytest.mark.parametrize("call", ["pipe_file", "mv"])
@pytest.mark.parametrize("code, error", [(errno.ENOSPC, StoreFull), (errno.EIO, StoreAway)])
async def test_a_failed_write_leaves_the_old_content_and_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, error: type[Exception]
) -> None:
    store = RemoteStore(f"file://{tmp_path}/deep/folder")
    await store.put("kept", b"old", HOUR)

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as broken:
        broken.setattr(fsspec.implementations.local.LocalFileSystem, call, fail)
        with pytest.raises(error):
            await store.put("kept", b"new", HOUR)
    assert [path.name for path in (tmp_path / "deep" / "folder").iterdir()] == ["kept.artefact"]
    assert await store.get("kept") == b"old"
    await store.close()


@pytest.mark.parametrize("error", [PermissionError("no"), RuntimeError("a library's own")])
async def test_whatever_a_library_raises_is_away(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    store = RemoteStore("memory://away")

    def fail(*_: object) -> None:
        raise error

    for call in ("pipe_file", "cat_file", "rm_file"):
        monkeypatch.setattr(fsspec.implementations.memory.MemoryFileSystem, call, fail)
    for request in (store.put("a", b"", HOUR), store.get("a"), store.delete("a")):
        with pytest.raises(StoreAway, match=str(error)):
            await request
    await store.close()


async def test_it_removes_what_it_has_put_unless_another_process_replaced_it(tmp_path: Path) -> None:
    clock = Clock()
    store, other = (RemoteStore(f"file://{tmp_path}", clock) for _ in range(2))
    for key in ("over", "replaced", "deleted"):
        await store.put(key, b"content", 10)
    await store.put("lasting", b"content", HOUR)
    await store.delete("deleted")
    await other.put("replaced", b"another", HOUR)
    (tmp_path / "holiday.jpg").write_bytes(b"somebody's")
    clock.time += 60
    assert await store.get("over") is None
    await store.close()
    await other.close()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"replaced.artefact", "lasting.artefact", "holiday.jpg"}
    assert await store.get("replaced") == b"another"
