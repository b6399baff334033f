"""API keys: kept as SHA-256 digests, compared in constant time."""

from collections.abc import Iterable
from hashlib import sha256
from hmac import compare_digest

HASHED = "sha256:"


class Keys:
    """Keys are given in clear or as `sha256:HEX`. No keys at all: everyone is let in."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [
            bytes.fromhex(key.removeprefix(HASHED)) if key.startswith(HASHED) else _digest(key) for key in keys
        ]

    @property
    def required(self) -> bool:
        return bool(self._digests)

    def owner(self, authorization: str) -> str | None:
        """The id of the key in a `Bearer KEY` header, None for a wrong or missing one. "" where none is needed."""
        if not self.required:
            return ""
        scheme, _, key = authorization.partition(" ")
        digest = _digest(key.strip())
        matches = [compare_digest(digest, known) for known in self._digests]
        return digest.hex()[:8] if any(matches) and scheme.lower() == "bearer" else None


def _digest(key: str) -> bytes:
    return sha256(key.encode()).digest()
