"""An authority that only these tests know, and names that lead where a test says."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog
import trustme

Names = Callable[[dict[str, list[Sequence[str]]]], list[str]]


@pytest.fixture(autouse=True)
def every_level() -> None:
    """Whatever an earlier test configured, what is logged here is seen."""
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def ca(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("webhooks") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="session")
def tls(authority: trustme.CA) -> Callable[..., ssl.SSLContext]:
    """A server's side, with a certificate for these names."""

    def make(*names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names).configure_cert(context)
        return context

    return make


@pytest.fixture
async def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """name -> its addresses at the first look-up, at the second, and so on; the last stays. Returns what was asked."""

    def install(known: dict[str, list[Sequence[str]]]) -> list[str]:
        asked: list[str] = []

        async def getaddrinfo(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
            if host not in known:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            answers = known[host]
            addresses = answers[min(asked.count(host), len(answers) - 1)]
            asked.append(host)
            return [
                (socket.AF_INET6 if ":" in it else socket.AF_INET, socket.SOCK_STREAM, 6, "", (it, port))
                for it in addresses
            ]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        return asked

    return install
