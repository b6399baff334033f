"""Links that need no account: whoever has one may read one artefact until it ends."""

import base64
import binascii
import hmac

from service.artefacts.base import checked

_DIGEST_BYTES = 32


class BadLink(Exception):
    """The token was not made with this secret, or not as it stands here."""


class ExpiredLink(Exception):
    """The token was good once."""


class Signer:
    """HMAC-SHA256 (RFC 2104) over end and key. All processes that sign and check share `secret`, which is not empty."""

    def __init__(self, secret: bytes) -> None:
        if not secret:
            raise ValueError("links need a secret")
        self._secret = secret

    def sign(self, key: str, until: int) -> str:
        """A token for a URL, of letters, digits, `-` and `_`. until: seconds since the epoch."""
        claim = f"{until}:{checked(key)}".encode()
        return _encode(self._digest(claim) + claim)

    def check(self, token: str, now: float) -> str:
        """The key. now: seconds since the epoch. Raises BadLink, ExpiredLink."""
        try:
            signed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error) as error:
            raise BadLink("the link is damaged") from error
        digest, claim = signed[:_DIGEST_BYTES], signed[_DIGEST_BYTES:]
        # Base64 has several spellings for the same bytes, of which one is good.
        if not hmac.compare_digest(digest, self._digest(claim)) or _encode(signed) != token:
            raise BadLink("the link is damaged")
        until, _, key = claim.decode().partition(":")
        if int(until) <= now:
            raise ExpiredLink("the link has expired")
        return key

    def _digest(self, claim: bytes) -> bytes:
        return hmac.digest(self._secret, b"maskserve artefact link\0" + claim, "sha256")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
