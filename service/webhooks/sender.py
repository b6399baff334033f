"""One try to deliver one webhook."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import httpx

from service.webhooks import networks as nets
from service.webhooks.address import Forbidden, Target, checked, parsed, resolve
from service.webhooks.hosts import Rule
from service.webhooks.networks import Address
from service.webhooks.signing import Secret, signed

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 10.0
MOST_ADDRESSES = 4  # of a name, so that one try is no scan of hundreds
GONE = 410

_NO_CONNECTION = (httpx.ConnectError, httpx.ConnectTimeout)


@dataclass(frozen=True)
class Delivered:
    """The receiver answered 2xx."""


@dataclass(frozen=True)
class Retry:
    """It did not work now. why: for the log; it has nothing of the URL but its host."""

    why: str


@dataclass(frozen=True)
class Gone:
    """It will never work. why: for the log; it has nothing of the URL but its host."""

    why: str


Outcome = Delivered | Retry | Gone


class Sender:
    """hosts: as `address.checked` takes them; networks: addresses to reach besides public ones; ca: a PEM file of
    authorities to trust besides public ones. Raises ValueError, and OSError for the file.
    """

    def __init__(
        self, secret: Secret, hosts: Sequence[str], networks: Sequence[str] = (), ca: Path | None = None
    ) -> None:
        for entry in hosts:
            Rule.parse(entry)
        self._secret = secret
        self._hosts = hosts
        self._networks = nets.parsed(networks)
        self._tls = httpx.create_ssl_context(trust_env=False)
        if ca is not None:
            self._tls.load_verify_locations(cafile=ca)
        self._agent = f"maskserve/{version('maskserve')}"

    async def send(self, url: str, id: str, body: bytes, now: float) -> Outcome:
        """Ends within ten seconds. id: the same for every try; now: seconds since the epoch."""
        try:
            target = parsed(checked(url, self._hosts, self._networks))
        except ValueError as error:
            return Gone(str(error))
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                status = await self._status(target, id, body, now)
        except TimeoutError:
            return Retry(f"no answer within {TOTAL_SECONDS:.0f} s")
        except (Forbidden, OSError, httpx.TransportError) as error:
            return Retry(str(error) or type(error).__name__)
        if 200 <= status < 300:
            return Delivered()
        return Gone("the receiver answered 410") if status == GONE else Retry(f"the receiver answered {status}")

    async def _status(self, target: Target, id: str, body: bytes, now: float) -> int:
        headers = {
            "host": target.place,
            "content-type": "application/json",
            "user-agent": self._agent,
            "connection": "close",
            **signed(self._secret, id, now, body),
        }
        addresses = await resolve(target.host, target.port, self._networks)
        *others, last = addresses[:MOST_ADDRESSES]
        for address in others:
            with suppress(*_NO_CONNECTION):
                return await self._post(address, target, headers, body)
        return await self._post(last, target, headers, body)

    async def _post(self, address: Address, target: Target, headers: dict[str, str], body: bytes) -> int:
        """The answer's status; its body is left unread."""
        request = httpx.Request(
            "POST",
            httpx.URL(scheme="https", host=str(address), port=target.port, raw_path=target.path.encode()),
            headers=headers,
            content=body,
            extensions={
                "sni_hostname": target.host,  # the name that the certificate must have, too
                "timeout": httpx.Timeout(TOTAL_SECONDS, connect=CONNECT_SECONDS).as_dict(),
            },
        )
        # The bare transport follows nothing, asks no proxy and, unlike the client, logs no URL. One for each try:
        # connections are kept by IP address, and one that was opened for another name must not serve this one.
        async with httpx.AsyncHTTPTransport(verify=self._tls, trust_env=False) as transport:
            response = await transport.handle_async_request(request)
            await response.aclose()
            return response.status_code
