"""Artefacts in a local or mounted folder that several processes may share."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_SH, flock
from pathlib import Path

from service.artefacts import files
from service.artefacts.base import StoreAway, StoreFull, checked
from service.artefacts.sweeping import Sweeper

LOCK = f"{files.OWN}lock"
ABANDONED_SECONDS = 3600.0


class FolderStore:
    """Makes the folder where it is missing (OSError). `now` is in seconds since the epoch.

    A file is written under another name, synced and moved into its place, so a crash leaves whole files and at most
    a part, which a sweep an hour later removes. Files that are no artefacts are left alone.
    """

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._now = now
        self._sweeper = Sweeper(self._sweep, now)

    async def put(self, key: str, content: bytes, seconds: float) -> None:
        path = self._path(key)
        with _explained():
            await asyncio.to_thread(self._write, path, content, self._now() + seconds)
        self._sweeper.nudge()

    async def get(self, key: str) -> bytes | None:
        path = self._path(key)
        with _explained():
            data = await asyncio.to_thread(self._read, path)
        self._sweeper.nudge()
        return None if data is None else files.content(data, self._now())

    async def delete(self, key: str) -> None:
        path = self._path(key)
        with _explained():
            await asyncio.to_thread(path.unlink, missing_ok=True)

    async def close(self) -> None:
        await self._sweeper.close()

    def _path(self, key: str) -> Path:
        return self._folder / files.file_name(checked(key))

    def _write(self, path: Path, content: bytes, until: float) -> None:
        part = self._folder / files.part_name()
        try:
            with open(part, "xb") as file:
                file.write(files.header(until))
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            with self._locked(LOCK_SH):
                os.replace(part, path)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise

    def _read(self, path: Path) -> bytes | None:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            if not self._folder.is_dir():
                raise
            return None

    def _sweep(self) -> None:
        lock = self._folder / LOCK
        lock.touch()
        abandoned = lock.stat().st_mtime - ABANDONED_SECONDS  # by the clock that dates the parts, here or on a server
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError, PermissionError):  # gone by now, or not ours to remove
                    if not entry.is_file(follow_symlinks=False):
                        continue
                    if files.is_artefact(entry.name) and self._is_over(entry.path):
                        self._remove(entry.path)
                    elif files.is_part(entry.name) and entry.stat().st_mtime < abandoned:
                        os.unlink(entry.path)

    def _remove(self, path: str) -> None:
        """Look again with every writer kept out: the file may have been replaced by one that lives."""
        with self._locked(LOCK_EX):
            if self._is_over(path):
                os.unlink(path)

    def _is_over(self, path: str) -> bool:
        with open(path, "rb") as file:
            until = files.expiry(file.read(files.HEADER.size))
        return until is not None and until <= self._now()

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        """Between processes and threads: each opening of the lock file is a holder of its own."""
        with open(self._folder / LOCK, "ab") as file:
            flock(file, how)
            yield


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if files.is_full(error):
            raise StoreFull(f"no room for the artefact: {error.strerror}") from error
        raise StoreAway(f"the artefact folder: {error.strerror}") from error
