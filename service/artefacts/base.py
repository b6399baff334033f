"""What an artefact store promises, and how it fails."""

import re
from typing import Protocol

LONGEST_KEY = 200
_KEY = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")


class StoreFull(Exception):
    """There is no room for this content now; what was stored before is as it was."""


class StoreAway(Exception):
    """The place cannot be reached or does not answer; trying again later may help."""


class Store(Protocol):
    """Bytes by key with a time to live. Used from an event loop, by several processes at once.

    Every call raises ValueError for a key that `checked` refuses and StoreAway; embedded stores are never away.
    """

    async def put(self, key: str, content: bytes, seconds: float) -> None:
        """Keep `content` for `seconds` (finite; none at all where not above zero), replacing what the key had.

        A reader sees the old content or the new one, never a part. Raises StoreFull.
        """
        ...

    async def get(self, key: str) -> bytes | None:
        """The content; None where there is none, or none any more."""
        ...

    async def delete(self, key: str) -> None:
        """Forget the key; nothing happens where it is unknown."""
        ...

    async def close(self) -> None:
        """Release connections and wait for work in the background. The store is not used afterwards."""
        ...


def checked(key: str) -> str:
    """The key, such as `req_ab12/final-0`. Raises ValueError unless it is safe as a path, in a URL and as a name."""
    if len(key) > LONGEST_KEY or not _KEY.fullmatch(key) or ".." in key or "." in key.split("/"):
        raise ValueError(f"not an artefact key: {key[:LONGEST_KEY]!r}")
    return key
