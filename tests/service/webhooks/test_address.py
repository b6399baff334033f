import string
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.webhooks.address import Forbidden, checked, parsed, resolve
from service.webhooks.networks import is_public, plain
from service.webhooks.networks import parsed as networks
from tests.service.webhooks.conftest import Names

HERE = ["hooks.example.com", "*.example.org", "bücher.example:8443"]
EVERY = ["*", "*:8443"]

REFUSED = {
    "http://hooks.example.com/": "https",
    "hooks.example.com": "https",
    "//hooks.example.com/": "https",
    "https:hooks.example.com/": "https",
    "https:/hooks.example.com/": "https",
    "ftp://hooks.example.com/": "https",
    "": "https",
    " https://hooks.example.com/": "spaces",
    "https://hooks.example.com/a b": "spaces",
    "https://hooks.example.com/\r\nhost: evil": "control",
    "https://hooks.example.com\u200b/": "control",
    "https://hooks.example.com\x00.evil/": "control",
    "https://user@hooks.example.com/": "credentials",
    "https://user:secret@hooks.example.com/": "credentials",
    "https://hooks.example.com@evil.example/": "credentials",
    "https://hooks.example.com:443@evil.example/": "credentials",
    "https://hooks.example.com%40evil.example/": "not a domain name",
    "https://evil.example\\@hooks.example.com/": "backslash",
    "https://hooks.example.com\\.evil.example/": "backslash",
    "https://hooks.example.com/#part": "fragment",
    "https://evil.example#hooks.example.com": "fragment",
    "https:///path": "no host",
    "https://:443/": "no host",
    "https://?hooks.example.com": "no host",
    "https://./": "not a domain name",
    "https://hooks..example.com/": "not a domain name",
    "https://hooks.example.com../": "not a domain name",
    "https://-hooks.example.com/": "not a domain name",
    "https://hooks_example.com/": "not a domain name",
    "https://hooks.example.com:/": "a colon and a port",
    "https://hooks.example.com:0/": "a colon and a port",
    "https://hooks.example.com:65536/": "a colon and a port",
    "https://hooks.example.com:443:443/": "a colon and a port",
    "https://hooks.example.com:４４３/": "a colon and a port",
    "https://hooks.example.com:+443/": "a colon and a port",
    "https://hooks.example.com:８443/": "a colon and a port",
    "https://hooks.example.com：443/": "domain name",
    "https://evil.example／.example.org/": "domain name",
    "https://evil.example？.example.org/": "domain name",
    "https://hooks.example.com/ä": "percent-encoded",
    "https://[::1/": "a colon and a port",
    "https://[fe80::1%25eth0]/": "a colon and a port",
    "https://[127.0.0.1]/": "IPv6",
    "https://[]/": "IPv6",
    "https://127.1/": "four decimal",
    "https://2130706433/": "four decimal",
    "https://0x7f000001/": "four decimal",
    "https://0x7f.0.0.1/": "four decimal",
    "https://0177.0.0.1/": "four decimal",
    "https://127.0.0.1.0x/": "four decimal",
    "https://1.2.3.4.5/": "four decimal",
    f"https://hooks.example.com/{'x' * 2048}": "2048",
    f"https://{'é' * 250}.example.org/": "too many characters",
}


@pytest.mark.parametrize("url", REFUSED)
def test_what_is_no_plain_https_url_is_refused_whatever_the_list(url: str) -> None:
    for hosts in (HERE, EVERY):
        with pytest.raises(ValueError, match=REFUSED[url]) as error:
            checked(url, hosts)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://hooks.example.com", "https://hooks.example.com/"),
        ("HTTPS://Hooks.Example.COM.:443/A?B=C", "https://hooks.example.com/A?B=C"),
        ("https://hooks.example.com?a=@b//c", "https://hooks.example.com/?a=@b//c"),
        ("https://hooks.example.com//evil.example/@x", "https://hooks.example.com//evil.example/@x"),
        ("https://a.example.org/", "https://a.example.org/"),
        ("https://a.b-c.EXAMPLE.org/", "https://a.b-c.example.org/"),
        ("https://ａ。example．org/", "https://a.example.org/"),
        ("https://BÜCHER.example:8443/", "https://xn--bcher-kva.example:8443/"),
        ("https://bu\u0308cher.example:8443/", "https://xn--bcher-kva.example:8443/"),
        ("https://XN--BCHER-KVA.example:08443/", "https://xn--bcher-kva.example:8443/"),
    ],
)
def test_one_spelling(url: str, same: str) -> None:
    assert checked(url, HERE) == same


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/",
        "https://evilhooks.example.com/",
        "https://hooks.example.com.evil.example/",
        "https://a.hooks.example.com/",
        "https://hooks.example.com:8443/",
        "https://example.org/",
        "https://evilexample.org/",
        "https://a.example.org:444/",
        "https://bücher.example/",
        "https://bucher.example:8443/",
        "https://localhost/",
        "https://8.8.8.8/",
        "https://10.0.0.1/",
        "https://[::1]/",
    ],
)
def test_others_are_not_allowed(url: str) -> None:
    with pytest.raises(ValueError, match="not allowed here"):
        checked(url, HERE)


def test_no_hosts_no_webhooks() -> None:
    with pytest.raises(ValueError, match=r"^webhooks to hooks\.example\.com are not allowed here$"):
        checked("https://hooks.example.com/?secret", [])


@pytest.mark.parametrize("url", ["https://anything.example/", "https://a.b:8443/", "https://xn--bcher-kva.example/"])
def test_every_name(url: str) -> None:
    assert checked(url, EVERY) == url


def test_addresses_need_an_entry_or_a_network() -> None:
    public, private, mapped = "https://8.8.8.8/", "https://10.0.0.1/", "https://[::ffff:10.0.0.1]/"
    for url in (public, private, mapped):
        with pytest.raises(ValueError, match="not allowed"):
            checked(url, EVERY)
    assert checked(public, ["8.8.8.8"]) == public
    assert checked("https://[::ffff:8.8.8.8]/", ["8.8.8.8"]) == public
    assert checked("https://[2606:4700:0::1111]:8443/", ["[2606:4700::1111]:8443"]) == "https://[2606:4700::1111]:8443/"
    with pytest.raises(ValueError, match="not allowed"):
        checked(private, ["10.0.0.1"])
    ours = networks(["10.0.0.0/8"])
    assert checked(private, ["10.0.0.1"], ours) == private
    assert checked(mapped, ["*"], ours) == private
    for hosts in (HERE, ["10.0.0.1:8443"], ["*:8443"]):
        with pytest.raises(ValueError, match="not allowed"):
            checked(private, hosts, ours)
    with pytest.raises(ValueError, match="not allowed"):
        checked("https://127.0.0.1/", ["*"], ours)


@pytest.mark.parametrize(
    "entry",
    [
        *(
            "",
            " ",
            "https://a.example",
            "a.example/",
            "a.example:",
            "a.example:0",
            "a.example:65536",
            "*.",
            "*a.example",
        ),
        *("a.*.example", "**", "*.10.0.0.1", "*.[::1]", "127.1", "a b.example", "user@a.example", "[::1", "::1"),
    ],
)
def test_entries_that_say_nothing_are_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="not a host for webhooks"):
        checked("https://hooks.example.com/", [entry])


@given(st.text())
@example("https://０x7f.1/")
@example("https://①②⑦.⓪.⓪.①/")
@example("https://xn--/")
@example("https://\u2488/")
def test_any_text_is_refused_or_means_one_thing(text: str) -> None:
    for url in (text, f"https://{text}", f"https://{text}/x", f"https://{text}.example.org/"):
        try:
            good = checked(url, EVERY)
        except ValueError:
            continue
        means_one_thing(good)


@given(st.text(string.ascii_letters + string.digits + ".:/?#@[]\\%-_*& \t。．／ß"))
def test_what_looks_like_a_url_is_refused_or_means_one_thing(text: str) -> None:
    try:
        good = checked(f"https://{text}", ["*.org", *EVERY])
    except ValueError:
        return
    means_one_thing(good)


def means_one_thing(url: str) -> None:
    """Three parsers agree, and checking again changes nothing."""
    target = parsed(url)
    split, other = urlsplit(url), httpx.URL(url)
    assert (split.hostname, split.port or 443, split.username) == (target.host, target.port, None)
    assert (other.raw_host.decode(), other.port or 443, other.userinfo) == (target.host, target.port, b"")
    assert target.url == url == checked(url, EVERY) and url.isascii()
    with pytest.raises(ValueError, match="does not appear"):
        ip_address(target.host)


@given(st.ip_addresses())
def test_an_address_is_never_a_way_around_the_list(address: object) -> None:
    plainly = plain(str(address))
    url = f"https://[{address}]/" if ":" in str(address) else f"https://{address}/"
    with pytest.raises(ValueError, match="not allowed"):
        checked(url, EVERY)
    entry = url.removeprefix("https://").removesuffix("/")
    if is_public(plainly):
        assert checked(url, [entry])
    else:
        with pytest.raises(ValueError, match="not allowed"):
            checked(url, [entry])


async def test_all_addresses_of_a_name(names: Names) -> None:
    names({"hooks.example.com": [["8.8.8.8", "2606:4700::1111", "8.8.8.8", "::ffff:1.1.1.1"]]})
    found = await resolve("hooks.example.com", 443, ())
    assert [str(address) for address in found] == ["8.8.8.8", "2606:4700::1111", "1.1.1.1"]


@pytest.mark.parametrize("bad", ["127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "fe80::1%3", "224.0.0.1"])
async def test_one_bad_address_spoils_the_name(bad: str, names: Names) -> None:
    names({"hooks.example.com": [["8.8.8.8", bad]]})
    with pytest.raises(Forbidden, match="which is not public"):
        await resolve("hooks.example.com", 443, networks(["10.0.0.0/8"]))


async def test_operators_networks_are_allowed_in_addition(names: Names) -> None:
    names({"hooks.internal": [["10.0.0.1", "8.8.8.8"]]})
    assert await resolve("hooks.internal", 443, networks(["10.0.0.0/8"])) == [plain("10.0.0.1"), plain("8.8.8.8")]


async def test_addresses_are_looked_at_without_a_resolver(names: Names) -> None:
    assert names({}) == []
    assert await resolve("8.8.8.8", 443, ()) == [plain("8.8.8.8")]
    for host in ("127.0.0.1", "::1"):
        with pytest.raises(Forbidden):
            await resolve(host, 443, ())


async def test_unknown_names_are_os_errors(names: Names) -> None:
    names({})
    with pytest.raises(OSError, match="not known"):
        await resolve("nowhere.example", 443, ())
