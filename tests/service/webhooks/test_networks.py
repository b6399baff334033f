from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.webhooks.networks import is_public, parsed, permitted, plain

NOT_PUBLIC = [
    *("127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200"),
    *("192.0.0.192", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
    *("168.63.129.16", "192.88.99.1", "::", "::1", "fe80::1", "fe80::1%2", "fec0::1", "fd00:ec2::254", "ff02::1"),
    *("ff0e::1", "2001:db8::1", "3fff::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "::127.0.0.1", "::8.8.8.8"),
    *("::ffff:127.0.0.1", "::ffff:0:8.8.8.8", "64:ff9b::10.0.0.1", "64:ff9b:1::8.8.8.8", "2002:7f00:1::", "100::1"),
    "2606:4700::1111%2",
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"]


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_special_addresses_are_not_public(text: str) -> None:
    assert not is_public(ip_address(text))
    assert not is_public(plain(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses(text: str) -> None:
    assert is_public(ip_address(text)) and is_public(plain(text))


private = st.sampled_from(["10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16", "100.64.0.0/10"]).flatmap(
    lambda network: st.ip_addresses(v=4, network=network)
)


@given(private, st.integers(0, 2**80 - 1))
def test_no_translation_makes_a_private_address_public(inner: IPv4Address, rest: int) -> None:
    number = int(inner)
    for outer in (
        number,
        0xFFFF << 32 | number,
        0x64FF9B << 96 | number,
        0x2002 << 112 | number << 80 | rest,
        0x20010000 << 96 | rest & 0xFFFFFFFFFFFF << 32 | number ^ 0xFFFFFFFF,
    ):
        assert not is_public(IPv6Address(outer))


@given(private)
def test_an_operator_adds_networks(address: IPv4Address) -> None:
    assert not permitted(address, parsed(["fd00::/8", "203.0.113.0/24"]))
    assert permitted(address, [ip_network("fd00::/8"), ip_network(f"{address}/32")])
    assert permitted(plain(f"::ffff:{address}"), [ip_network(f"{address}/32")])


def test_networks_are_written_as_networks() -> None:
    assert parsed([" 10.0.0.0/8", "fd00::/8"]) == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    with pytest.raises(ValueError, match="host bits"):
        parsed(["10.0.0.1/8"])
