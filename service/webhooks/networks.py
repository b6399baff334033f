"""Which IP addresses are the public internet's, and which an operator adds."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_MAPPED, _NAT64 = IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_GLOBAL_UNICAST = IPv6Network("2000::/3")

# What `is_global` of one Python or another lets through: special purposes, old relays, tunnels (Teredo is in
# 2001::/23), documentation, and Azure's agent, which answers each virtual machine at a public address.
_SPECIAL = [
    ip_network(text)
    for text in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "2001::/23", "2001:db8::/32", "3fff::/20")
]


def plain(text: str) -> Address:
    """IPv4 for IPv6 that only maps it; everything else as it is. Raises ValueError."""
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def parsed(texts: Sequence[str]) -> tuple[Network, ...]:
    """`10.0.0.0/8`, `fd00::/8`. Raises ValueError with one line."""
    return tuple(ip_network(text.strip()) for text in texts)


def is_public(address: Address) -> bool:
    """Whether it is one host of the internet, and hides no other one behind a translation."""
    if isinstance(address, IPv6Address):
        number = int(address)
        if address in _MAPPED or address in _NAT64:
            return is_public(IPv4Address(number & 0xFFFFFFFF))
        if address in _SIX_TO_FOUR:
            return is_public(IPv4Address(number >> 80 & 0xFFFFFFFF))
        if address not in _GLOBAL_UNICAST or address.scope_id is not None:
            return False
    return address.is_global and not address.is_multicast and not any(address in network for network in _SPECIAL)


def permitted(address: Address, networks: Sequence[Network]) -> bool:
    """Whether webhooks may connect to it: it is public, or in one of the operator's `networks`."""
    return is_public(address) or any(address in network for network in networks)
