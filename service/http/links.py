"""Links to finished files: whoever has one may read one file until it ends."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from service.artefacts.links import BadLink, ExpiredLink, Signer
from service.http.errors import ApiError


@dataclass
class Links:
    """secret: asked for once, when the first link is made or followed."""

    secret: Callable[[], Awaitable[bytes]]
    seconds: float
    _signer: Signer | None = field(default=None, init=False)

    async def url(self, base: str, key: str) -> str:
        token = (await self._ready()).sign(key, int(time.time() + self.seconds))
        return f"{base}/v1/artifacts/{token}"

    async def key(self, token: str) -> str:
        """Raises ApiError."""
        try:
            return (await self._ready()).check(token, time.time())
        except BadLink:
            raise ApiError(404, "There is no such file.", "artifact_not_found") from None
        except ExpiredLink:
            raise ApiError(410, "The link has expired.", "link_expired") from None

    async def _ready(self) -> Signer:
        if self._signer is None:
            self._signer = Signer(await self.secret())
        return self._signer
