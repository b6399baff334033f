"""Addresses of webhooks: what a client may give, and where it leads."""

import asyncio
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from service.webhooks.hosts import PORT, Rule, admitted, literal, normal
from service.webhooks.networks import Address, Network, permitted, plain

LONGEST_URL = 2048

_SCHEME = re.compile("https://", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?")


class Forbidden(Exception):
    """The host has an address that webhooks must not reach."""


@dataclass(frozen=True)
class Target:
    """A URL in parts. host: normal, see `hosts`; path: with the query, begins with a slash."""

    host: str
    port: int
    path: str

    @property
    def place(self) -> str:
        """For the header Host and for logs."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORT else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"https://{self.place}{self.path}"


def parsed(url: str) -> Target:
    """Raises ValueError with one sentence for everything that two programs might read differently."""
    if len(url) > LONGEST_URL:
        raise ValueError(f"the URL has more than {LONGEST_URL} characters")
    if not url.isprintable() or any(character.isspace() for character in url):
        raise ValueError("the URL has spaces or control characters")
    if "\\" in url:
        raise ValueError("the URL has a backslash")
    scheme = _SCHEME.match(url)
    if scheme is None:
        raise ValueError("the URL does not begin with https://")
    if "#" in url:
        raise ValueError("the URL has a fragment")
    authority, path = _split(url[scheme.end() :])
    if "@" in authority:
        raise ValueError("the URL has credentials")
    found = _AUTHORITY.fullmatch(authority)
    port = int(found[2] or PORT) if found else 0
    if found is None or not 0 < port < 65536:
        raise ValueError("what follows https:// is not a host, or a host, a colon and a port")
    if not found[1]:
        raise ValueError("the URL names no host")
    if not path.isascii():
        raise ValueError("the URL has characters in its path or query that are to be percent-encoded")
    target = Target(normal(found[1]), port, path if path.startswith("/") else f"/{path}")
    if len(target.url) > LONGEST_URL:
        raise ValueError(f"the URL has more than {LONGEST_URL} characters")
    return target


def _split(rest: str) -> tuple[str, str]:
    end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    return rest[:end], rest[end:]


def checked(url: str, hosts: Sequence[str], networks: Sequence[Network] = ()) -> str:
    """The URL with its host in one spelling. hosts: entries as `Rule.parse` takes them.

    `*` admits names, and IP addresses in `networks`; other IP addresses are admitted where they are public and have an
    entry of their own. Raises ValueError with one sentence.
    """
    target = parsed(url)
    if not admitted(target.host, target.port, [Rule.parse(entry) for entry in hosts], networks):
        raise ValueError(f"webhooks to {target.place} are not allowed here")
    return target.url


async def resolve(host: str, port: int, networks: Sequence[Network]) -> list[Address]:
    """All addresses of a normal host, at least one, in the order to try.

    Raises Forbidden if one of them is neither public nor in `networks`, OSError for a name that has none.
    """
    address = literal(host)
    if address is not None:
        found = [address]
    else:
        infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        found = list(dict.fromkeys(plain(str(info[4][0])) for info in infos))
    for address in found:
        if not permitted(address, networks):
            raise Forbidden(f"{host} has the address {address}, which is not public")
    return found
