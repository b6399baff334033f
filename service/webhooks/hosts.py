"""Names of hosts in the one spelling that is compared, and an operator's rules for them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import idna

from service.webhooks.networks import Address, Network, permitted, plain

PORT = 443
LONGEST_NAME = 253
ANY = "*"

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_ENTRY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]+)(?::([0-9]{1,5}))?")


def normal(host: str) -> str:
    """Lower case, punycode, no dot at the end; IP addresses as the standard library writes them, without brackets.

    Raises ValueError for what is no name, and for numbers that some programs take for an IP address: 127.1, 0x7f000001.
    """
    if host.startswith("["):
        return _bracketed(host[1:-1])
    if len(host) > LONGEST_NAME:
        raise ValueError("the host has too many characters")
    try:
        name = (host if host.isascii() else idna.encode(host, uts46=True).decode()).lower().removesuffix(".")
    except UnicodeError as error:
        raise ValueError("the host is no international domain name") from error
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        raise ValueError("the host is not a domain name")
    if not _NUMBER.fullmatch(name.rpartition(".")[2]):
        return name
    try:
        return str(plain(name))
    except ValueError as error:
        raise ValueError("the host is neither a domain name nor four decimal numbers") from error


def _bracketed(text: str) -> str:
    try:
        if ":" in text and "%" not in text:
            return str(plain(text))
    except ValueError:
        pass
    raise ValueError("what is between brackets is not an IPv6 address")


def literal(host: str) -> Address | None:
    """The IP address that a normal host is; None for a name."""
    return plain(host) if ":" in host or _NUMBER.fullmatch(host.rpartition(".")[2]) else None


@dataclass(frozen=True)
class Rule:
    """One host, everything below a domain (`.example.com`) or every host (`*`), on one port."""

    name: str
    port: int

    @classmethod
    def parse(cls, entry: str) -> Self:
        """`hooks.example.com`, `*.example.com`, `*`, `192.0.2.7`, `[2001:db8::1]`, each also with `:port`."""
        found = _ENTRY.fullmatch(entry.strip())
        port = int(found[2] or PORT) if found else 0
        if found is None or not 0 < port < 65536:
            raise ValueError(f"not a host for webhooks: {entry!r}; give host, host:port, *.domain or *")
        if found[1] == ANY:
            return cls(ANY, port)
        below = found[1].startswith("*.")
        try:
            name = normal(found[1].removeprefix("*.") if below else found[1])
        except ValueError as error:
            raise ValueError(f"not a host for webhooks: {entry!r}; {error}") from error
        if below and literal(name) is not None:
            raise ValueError(f"not a host for webhooks: {entry!r}; nothing is below an IP address")
        return cls(f".{name}" if below else name, port)

    def names(self, host: str, port: int) -> bool:
        """Whether the rule gives this name or address itself, or a domain above it."""
        return port == self.port and (host.endswith(self.name) if self.name.startswith(".") else host == self.name)


def admitted(host: str, port: int, rules: Sequence[Rule], networks: Sequence[Network]) -> bool:
    """`host` is normal. `*` is for names and for addresses in `networks`; other addresses have a rule of their own."""
    address = literal(host)
    named = any(rule.names(host, port) for rule in rules)
    wild = Rule(ANY, port) in rules
    if address is None:
        return named or wild
    ours = any(address in network for network in networks)
    return permitted(address, networks) and (named or (wild and ours))
