"""Signatures by which receivers know us: https://www.standardwebhooks.com, version 1."""

import base64
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

PREFIX = "whsec_"
SHORTEST_KEY = 24
TOLERANCE_SECONDS = 300.0


class BadSignature(Exception):
    """The message is not from whoever shares the secret, not as it stands here, or not from now."""


@dataclass(frozen=True)
class Secret:
    """What sender and receiver share. key: bytes for HMAC-SHA256."""

    key: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """`whsec_` and base64, or any other text for its UTF-8 bytes. Raises ValueError under 24 bytes."""
        coded = text.startswith(PREFIX)
        try:
            key = base64.b64decode(text.removeprefix(PREFIX), validate=True) if coded else text.encode()
        except ValueError:
            raise ValueError("the webhook secret begins with whsec_, but no base64 follows") from None
        if len(key) < SHORTEST_KEY:
            raise ValueError(f"the webhook secret has {len(key)} bytes, where {SHORTEST_KEY} are the least")
        return cls(key)


def signed(secret: Secret, id: str, now: float, body: bytes) -> dict[str, str]:
    """The three headers. id: the same for every try; now: seconds since the epoch."""
    timestamp = str(int(now))
    return {
        "webhook-id": id,
        "webhook-timestamp": timestamp,
        "webhook-signature": _signature(secret, id, timestamp, body),
    }


def verify(
    secret: Secret, headers: Mapping[str, str], body: bytes, now: float, tolerance: float = TOLERANCE_SECONDS
) -> str:
    """For receivers: the message's id, by which they know one that comes twice. body: before any decoding.

    Several signatures, between spaces, are of several secrets; one must be of this. Raises BadSignature.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        id, timestamp, signatures = (given[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    except KeyError as error:
        raise BadSignature(f"the header {error.args[0]} is missing") from None
    if not re.fullmatch(r"[0-9]{1,12}", timestamp) or abs(now - int(timestamp)) > tolerance:
        raise BadSignature("the time stamp is too far from now")
    good = _signature(secret, id, timestamp, body).encode()
    if not any(hmac.compare_digest(good, signature.encode()) for signature in signatures.split(" ")):
        raise BadSignature("no signature is of this secret")
    return id


def _signature(secret: Secret, id: str, timestamp: str, body: bytes) -> str:
    digest = hmac.digest(secret.key, f"{id}.{timestamp}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"
