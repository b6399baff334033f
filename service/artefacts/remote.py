"""Artefacts wherever fsspec reaches: S3, Google Cloud, Azure, SFTP. The user installs a protocol's package.

A store deletes what it has put itself once that is over. What a process leaves behind when it dies is over for every
reader too, and goes with the bucket's lifecycle rule.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import fsspec

from service.artefacts import files
from service.artefacts.base import StoreAway, StoreFull, checked
from service.artefacts.sweeping import Sweeper

# Here an upload replaces the object in one go; elsewhere it is written beside and moved.
WHOLE_UPLOADS = {"memory", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oci", "oss", "r2", "hf"}


class RemoteStore:
    """`url`: `s3://bucket/prefix`. `now` is in seconds since the epoch.

    Raises ValueError with one line, which repeats no credentials, for an unknown protocol, a missing package or a
    URL without a place.
    """

    def __init__(self, url: str, now: Callable[[], float] = time.time) -> None:
        scheme, _, place = url.partition("://")
        try:
            # A listing kept in memory would hide what other processes write.
            self._fs, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except Exception as error:  # each protocol's library has its own
            reason = str(error).partition("\n")[0]
            raise ValueError(f"cannot keep artefacts in {scheme}://...: {reason}") from error
        protocols = {self._fs.protocol} if isinstance(self._fs.protocol, str) else set(self._fs.protocol)
        self._root = root.rstrip("/")
        if not place.strip("/") and "memory" not in protocols:
            raise ValueError(f"cannot keep artefacts in {scheme}://: name a bucket or folder")
        self._whole_uploads = bool(protocols & WHOLE_UPLOADS)
        self._now = now
        self._ends: dict[str, float] = {}  # path -> end, of what this process has put
        self._sweeper = Sweeper(self._sweep, now)

    async def put(self, key: str, content: bytes, seconds: float) -> None:
        path = self._path(key)
        until = self._now() + seconds
        with _explained():
            await asyncio.to_thread(self._write, path, files.header(until) + content)
        self._ends[path] = until
        self._sweeper.nudge()

    async def get(self, key: str) -> bytes | None:
        path = self._path(key)
        self._sweeper.nudge()
        with _explained():
            try:
                data = await asyncio.to_thread(self._fs.cat_file, path)
            except FileNotFoundError:
                return None
        return files.content(data, self._now())

    async def delete(self, key: str) -> None:
        path = self._path(key)
        self._ends.pop(path, None)
        with _explained(), suppress(FileNotFoundError):
            await asyncio.to_thread(self._fs.rm_file, path)

    async def close(self) -> None:
        await self._sweeper.close()

    def _path(self, key: str) -> str:
        return f"{self._root}/{files.file_name(checked(key))}"

    def _write(self, path: str, data: bytes) -> None:
        if self._whole_uploads:
            self._fs.pipe_file(path, data)
            return
        self._fs.makedirs(self._root, exist_ok=True)
        part = f"{self._root}/{files.part_name()}"
        try:
            self._fs.pipe_file(part, data)
            self._fs.mv(part, path)
        except BaseException:
            with suppress(Exception):
                self._fs.rm_file(part)
            raise

    def _sweep(self) -> None:
        for path, until in list(self._ends.items()):
            if until > self._now():
                continue
            with suppress(FileNotFoundError):
                end = files.expiry(self._fs.cat_file(path, start=0, end=files.HEADER.size))
                if end is not None and end <= self._now():  # else another process has replaced it
                    self._fs.rm_file(path)
            if self._ends.get(path) == until:
                del self._ends[path]


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # each protocol's library has its own
        if files.is_full(error):
            raise StoreFull("no room for the artefact") from error
        reason = str(error).partition("\n")[0]
        raise StoreAway(f"the artefact store: {type(error).__name__}: {reason}") from error
