import asyncio
import json
import logging
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from service.webhooks import sender as sender_module
from service.webhooks.sender import Delivered, Gone, Outcome, Retry, Sender
from service.webhooks.signing import Secret, verify
from tests.service.webhooks.conftest import Names
from tests.service.webhooks.receiver import Message, Receiver, answer, served

SECRET = Secret(b"s" * 24)
LOOPBACK = ["127.0.0.0/8", "::1/128"]
NOW = 1_800_000_000.0
BODY = json.dumps({"type": "job.completed"}).encode()
HOST = "hooks.example.com"

Tls = Callable[..., ssl.SSLContext]


def url_of(receiver: Receiver, host: str = HOST, path: str = "/jobs?token=hush") -> str:
    return f"https://{host}:{receiver.port}{path}"


async def sent(receiver: Receiver, ca: Path | None, host: str = HOST, path: str = "/jobs?token=hush") -> Outcome:
    sender = Sender(SECRET, [f"*:{receiver.port}"], LOOPBACK, ca)
    return await sender.send(url_of(receiver, host, path), "req_1", BODY, NOW)


async def test_a_signed_message_arrives(tls: Tls, ca: Path, names: Names) -> None:
    names({HOST: [["127.0.0.1"]]})
    async with served(Receiver(), tls(HOST)) as receiver:
        assert await sent(receiver, ca) == Delivered()
    (message,) = receiver.messages
    assert message.line == "POST /jobs?token=hush HTTP/1.1" and message.body == BODY
    assert verify(SECRET, message.headers, message.body, NOW) == "req_1"
    assert message.headers["host"] == f"{HOST}:{receiver.port}"
    assert message.headers["content-type"] == "application/json"
    assert message.headers["user-agent"].startswith("maskserve/")
    assert not {"authorization", "cookie", "accept-encoding"} & message.headers.keys()


@pytest.mark.parametrize("path", ["", "/", "?", "//evil.example/x", "/%2e%2e/%zz", "/a;b=[c]{d}|'@:8/?x=https://evil"])
async def test_no_path_leads_elsewhere(path: str, tls: Tls, ca: Path, names: Names) -> None:
    names({HOST: [["127.0.0.1"]]})
    async with served(Receiver(), tls(HOST)) as receiver:
        assert await sent(receiver, ca, path=path) == Delivered()
    assert len(receiver.messages) == 1


async def test_international_names_and_addresses(tls: Tls, ca: Path, names: Names) -> None:
    names({"xn--bcher-kva.example": [["127.0.0.1"]]})
    async with served(Receiver(), tls("bücher.example", "127.0.0.1")) as receiver:
        assert await sent(receiver, ca, "Bücher.Example.") == Delivered()
        assert await sent(receiver, ca, "127.0.0.1") == Delivered()
    assert receiver.messages[0].headers["host"] == f"xn--bcher-kva.example:{receiver.port}"
    async with served(Receiver(), tls("bücher.example")) as receiver:
        assert "certificate is not valid for '127.0.0.1'" in str(await sent(receiver, ca, "127.0.0.1"))


async def test_a_certificate_for_another_name_is_refused(tls: Tls, ca: Path, names: Names) -> None:
    """Also one for the IP address that is connected to."""
    names({HOST: [["127.0.0.1"]]})
    async with served(Receiver(), tls("other.example.com", "127.0.0.1")) as receiver:
        outcome = await sent(receiver, ca)
    assert isinstance(outcome, Retry) and f"not valid for '{HOST}'" in outcome.why
    assert receiver.messages == []


async def test_an_unknown_authority_is_refused(
    tls: Tls, ca: Path, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    names({HOST: [["127.0.0.1"]]})
    async with served(Receiver(), tls(HOST)) as receiver:
        outcome = await sent(receiver, ca=None)
    assert isinstance(outcome, Retry) and "CERTIFICATE_VERIFY_FAILED" in outcome.why
    assert receiver.messages == []


async def test_the_name_is_asked_for_once(tls: Tls, ca: Path, names: Names) -> None:
    """A name that leads inside at its second look-up leads nowhere else."""
    asked = names({HOST: [["127.0.0.1"], ["169.254.169.254"]]})
    async with served(Receiver(), tls(HOST)) as receiver:
        assert await sent(receiver, ca) == Delivered()
        assert asked == [HOST]
        outcome = await sent(receiver, ca)
    assert outcome == Retry(f"{HOST} has the address 169.254.169.254, which is not public")
    assert receiver.connections == 1


async def test_private_addresses_are_not_connected_to(tls: Tls, ca: Path, names: Names) -> None:
    names({HOST: [["8.8.8.8", "127.0.0.1"]]})
    async with served(Receiver(), tls(HOST, "127.0.0.1")) as receiver:
        sender = Sender(SECRET, [f"*:{receiver.port}"], [], ca)
        assert isinstance(await sender.send(url_of(receiver), "req_1", BODY, NOW), Retry)
        assert isinstance(await sender.send(url_of(receiver, "127.0.0.1"), "req_1", BODY, NOW), Gone)
    assert receiver.connections == 0


async def test_the_list_is_asked_again(tls: Tls, ca: Path, names: Names) -> None:
    asked = names({HOST: [["127.0.0.1"]]})
    async with served(Receiver(), tls(HOST)) as receiver:
        sender = Sender(SECRET, ["other.example.com"], LOOPBACK, ca)
        outcome = await sender.send(url_of(receiver), "req_1", BODY, NOW)
    assert outcome == Gone(f"webhooks to {HOST}:{receiver.port} are not allowed here")
    assert asked == [] and receiver.connections == 0


async def test_addresses_are_tried_in_turn(tls: Tls, ca: Path, names: Names) -> None:
    names({HOST: [["127.0.0.2", "::1", "127.0.0.1"]]})
    async with served(Receiver(), tls(HOST)) as receiver:
        assert await sent(receiver, ca) == Delivered()
        names({HOST: [["127.0.0.2", "127.0.0.3"]]})
        assert isinstance(await sent(receiver, ca), Retry)
        names({HOST: [[f"127.0.0.{n}" for n in range(9, 0, -1)]]})
        assert isinstance(await sent(receiver, ca), Retry)
    assert len(receiver.messages) == 1


async def test_nobody_there(ca: Path, names: Names) -> None:
    names({})
    nowhere = Receiver(port=9)
    assert isinstance(await sent(nowhere, ca), Retry)
    assert isinstance(await sent(nowhere, ca, "127.0.0.1"), Retry)


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (answer(200), Delivered()),
        (answer(202), Delivered()),
        (answer(299), Delivered()),
        (answer(410), Gone("the receiver answered 410")),
        (answer(301, "location: https://elsewhere.example/"), Retry("the receiver answered 301")),
        (answer(304), Retry("the receiver answered 304")),
        (answer(400), Retry("the receiver answered 400")),
        (answer(404), Retry("the receiver answered 404")),
        (answer(429), Retry("the receiver answered 429")),
        (answer(500), Retry("the receiver answered 500")),
        (answer(103) + answer(200), Delivered()),
    ],
)
async def test_what_answers_mean(reply: bytes, outcome: Outcome, tls: Tls, ca: Path, names: Names) -> None:
    names({HOST: [["127.0.0.1"]]})
    async with served(Receiver(reply), tls(HOST)) as receiver:
        assert await sent(receiver, ca) == outcome


@pytest.mark.parametrize(
    "reply", [b"", b"\r\n\r\n", b"HTTP/1.1 2", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\n: :\r\n\r\n"]
)
async def test_nonsense_is_tried_again(reply: bytes, tls: Tls, ca: Path, names: Names) -> None:
    names({HOST: [["127.0.0.1"]]})
    async with served(Receiver(reply), tls(HOST)) as receiver:
        assert isinstance(await sent(receiver, ca), Retry)


async def test_redirects_are_not_followed(tls: Tls, ca: Path, names: Names) -> None:
    names({HOST: [["127.0.0.1"]]})
    async with served(Receiver(), tls(HOST)) as target:
        redirect = answer(307, f"location: https://{HOST}:{target.port}/")
        async with served(Receiver(redirect), tls(HOST)) as receiver:
            assert await sent(receiver, ca) == Retry("the receiver answered 307")
        assert target.connections == 0


async def test_proxies_of_the_environment_are_not_asked(
    tls: Tls, ca: Path, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    names({HOST: [["127.0.0.1"]]})
    async with served(Receiver(), tls("127.0.0.1")) as proxy, served(Receiver(), tls(HOST)) as receiver:
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert await sent(receiver, ca) == Delivered()
        assert proxy.connections == 0


async def test_huge_answers_are_not_read(tls: Tls, ca: Path, names: Names) -> None:
    written = 0
    ended = asyncio.Event()

    async def pour(message: Message, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        try:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n")
            while True:
                writer.write(bytes(1 << 16))
                await writer.drain()
                written += 1 << 16
        finally:
            ended.set()

    names({HOST: [["127.0.0.1"]]})
    async with served(Receiver(pour), tls(HOST)) as receiver:
        assert await sent(receiver, ca) == Delivered()
        await ended.wait()
    assert written < 64 << 20  # what the sockets hold


async def test_endless_headers_are_cut(tls: Tls, ca: Path, names: Names) -> None:
    async def pour(message: Message, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"x: " + b"y" * 8000 + b"\r\n")
            await writer.drain()

    names({HOST: [["127.0.0.1"]]})
    async with served(Receiver(pour), tls(HOST)) as receiver:
        assert isinstance(await sent(receiver, ca), Retry)


@pytest.mark.parametrize("trickle", [False, True])
async def test_slow_receivers_are_left(
    trickle: bool, tls: Tls, ca: Path, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dawdle(message: Message, writer: asyncio.StreamWriter) -> None:
        while True:
            if trickle:
                writer.write(answer(102))
            await asyncio.sleep(0.01)

    monkeypatch.setattr(sender_module, "TOTAL_SECONDS", 0.3)
    names({HOST: [["127.0.0.1"]]})
    async with served(Receiver(dawdle), tls(HOST)) as receiver:
        outcome = await sent(receiver, ca)
    assert isinstance(outcome, Retry) and outcome.why.startswith("no answer within")


async def test_a_cancelled_try_hangs_up(tls: Tls, ca: Path, names: Names) -> None:
    arrived, left = asyncio.Event(), asyncio.Event()

    async def wait(message: Message, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await writer.wait_closed()
        left.set()

    names({HOST: [["127.0.0.1"]]})
    async with served(Receiver(wait), tls(HOST)) as receiver:
        trying = asyncio.create_task(sent(receiver, ca))
        await arrived.wait()
        trying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trying
        await left.wait()


async def test_nobody_logs_the_url(tls: Tls, ca: Path, names: Names, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    names({HOST: [["127.0.0.1"]]})
    async with served(Receiver(), tls(HOST)) as receiver:
        assert await sent(receiver, ca) == Delivered()
        receiver.respond = answer(500)
        assert "hush" not in str(await sent(receiver, ca))
    assert "hush" not in caplog.text and "/jobs" not in caplog.text


def test_settings_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a host"):
        Sender(SECRET, ["https://hooks.example.com"])
    with pytest.raises(ValueError, match="does not appear"):
        Sender(SECRET, [], ["inside"])
    with pytest.raises(OSError):
        Sender(SECRET, [], [], tmp_path / "none.pem")
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(OSError):
        Sender(SECRET, [], [], tmp_path / "bad.pem")
