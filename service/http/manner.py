"""How a client wants to be served: now or later, and under a key that makes a repeated request the same request."""

import re
from dataclasses import dataclass
from hashlib import sha256

from fastapi import Request

from service.http.context import context_of
from service.http.errors import invalid
from service.http.services import services_of
from service.packed import pack

KEY = re.compile(r"[!-~]([ -~]{0,253}[!-~])?")
DRAWN_BITS = 32


@dataclass(frozen=True)
class Manner:
    """id: of the request that will run; key: the client's Idempotency-Key; later: it comes back for the result; base:
    where links begin."""

    id: str
    base: str = ""
    key: str = ""
    owner: str = ""
    later: bool = False

    @property
    def kept(self) -> bool:
        """Goes on when the connection breaks."""
        return self.later or bool(self.key)

    def digest(self, *asked: object) -> str:
        """What was asked, for a request with a key: the same key with another digest is a mistake."""
        return sha256(pack(asked)).hexdigest() if self.key else ""

    def seed(self) -> int | None:
        """With a key always the same one: should the result be gone, the repeated request makes the same bytes."""
        return int.from_bytes(_hash("seed", self.owner, self.key)[: DRAWN_BITS // 8]) if self.key else None


def manner_of(request: Request, stream: bool) -> Manner:
    """From the headers `Idempotency-Key` and `Prefer: respond-async` (RFC 7240), which a stream cannot honour. Raises
    ApiError.
    """
    context, settings = context_of(request), services_of(request).settings
    key = request.headers.get("idempotency-key", "")
    if "idempotency-key" in request.headers and not KEY.fullmatch(key):
        raise invalid("Idempotency-Key has 1 to 255 printable ASCII characters.", "Idempotency-Key")
    id = f"req_{_hash('id', context.owner, key).hex()[:24]}" if key else context.id
    preferences = ",".join(request.headers.getlist("prefer")).lower().split(",")
    later = not stream and any(one.partition(";")[0].strip() == "respond-async" for one in preferences)
    return Manner(id, base_of(request, settings.public_url), key, context.owner, later)


def base_of(request: Request, public_url: str | None) -> str:
    """Without a slash at the end."""
    return (public_url or str(request.base_url)).rstrip("/")


def _hash(*parts: str) -> bytes:
    return sha256("\0".join(parts).encode()).digest()
