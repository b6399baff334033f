"""From an operator's URL to a store."""

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from service.artefacts.base import Store
from service.artefacts.folder import FolderStore
from service.artefacts.memory import DEFAULT_BYTES, MemoryStore

if TYPE_CHECKING:
    from service.artefacts.redis import RedisStore
    from service.artefacts.remote import RemoteStore

KINDS = (
    "memory:, memory:?bytes=N, redis://host:port/0, a folder, or a URL that fsspec knows, such as s3://bucket/prefix"
)


def open_store(url: str) -> Store:
    """`memory:`, `memory:?bytes=N`, `redis://`, `rediss://`, `file:///path`, a path, or any other URL of fsspec.

    Nothing is connected yet; folders are made. Raises ValueError with one line, which repeats no credentials.
    """
    scheme = _scheme(url)
    if scheme == "memory" and not url.startswith("memory://"):
        return _memory(url)
    if scheme in ("redis", "rediss"):
        return _redis(url)
    if scheme == "file":
        return _folder(_path(url))
    if scheme is not None:
        return _remote(url)
    return _folder(Path(url).expanduser())


def _scheme(url: str) -> str | None:
    """None for a path. `s3:bucket` is a slip rather than a folder of that name."""
    if not url.strip() or "\0" in url:
        raise ValueError(f"no artefact store is named; give {KINDS}")
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):(//)?", url)
    if found is None:
        return None
    if found[2] is None and found[1] != "memory":
        raise ValueError(f"{found[1]}: is followed by // in an artefact store's URL; give {KINDS}")
    return found[1]


def _memory(url: str) -> MemoryStore:
    path, _, query = url.removeprefix("memory:").partition("?")
    options = parse_qsl(query, keep_blank_values=True)
    match options:
        case []:
            max_bytes = DEFAULT_BYTES
        case [("bytes", number)] if re.fullmatch(r"[0-9]{1,18}", number) and int(number) > 0:
            max_bytes = int(number)
        case _:
            raise ValueError("an artefact store in memory is memory: or memory:?bytes=N, N above zero")
    if path or ("?" in url and not options):
        raise ValueError("an artefact store in memory is memory: or memory:?bytes=N, N above zero")
    return MemoryStore(max_bytes)


def _redis(url: str) -> "RedisStore":
    try:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import ConnectionError, TimeoutError

        from service.artefacts.redis import RedisStore
    except ImportError as error:
        raise ValueError("an artefact store in Redis needs pip install 'maskserve[queue]'") from error
    try:
        if not urlsplit(url).hostname:
            raise ValueError("no host")
        # One more try reaches a server that has restarted behind an open connection.
        client = Redis.from_url(url, retry=Retry(NoBackoff(), 1), retry_on_error=[ConnectionError, TimeoutError])
    except ValueError:
        # The cause may quote the URL, and with it the password.
        raise ValueError("not a Redis URL: give redis://[user:password@]host[:port][/database]") from None
    return RedisStore(client, owned=True)


def _path(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise ValueError("a folder's URL has three slashes: file:///path")
    return Path(unquote(parts.path))


def _folder(path: Path) -> FolderStore:
    try:
        return FolderStore(path)
    except OSError as error:
        raise ValueError(f"cannot keep artefacts in {path}: {error.strerror}") from error


def _remote(url: str) -> "RemoteStore":
    try:
        from service.artefacts.remote import RemoteStore
    except ImportError as error:
        raise ValueError("this artefact store needs pip install 'maskserve[artefacts]'") from error
    return RemoteStore(url)
