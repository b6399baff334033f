import subprocess
import sys
from pathlib import Path

import pytest

from service.artefacts.base import StoreFull
from service.artefacts.folder import FolderStore
from service.artefacts.memory import MemoryStore
from service.artefacts.open import open_store
from service.artefacts.remote import RemoteStore


def test_urls_name_kinds(tmp_path: Path) -> None:
    assert isinstance(open_store("memory:"), MemoryStore)
    assert isinstance(open_store("memory://shared"), RemoteStore)
    assert isinstance(open_store(f"{tmp_path}/a"), FolderStore)
    assert isinstance(open_store(f"file://{tmp_path}/b%20c"), FolderStore)
    assert isinstance(open_store(f"file://localhost{tmp_path}/d"), FolderStore)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b c", "d"}


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
async def test_redis_is_not_connected_yet(scheme: str) -> None:
    redis = pytest.importorskip("service.artefacts.redis")
    store = open_store(f"{scheme}://user:word@nowhere.invalid:7000/3")
    assert isinstance(store, redis.RedisStore)
    await store.close()


def test_a_path_may_be_relative_or_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    open_store("here")
    open_store("~/there")
    assert {path.name for path in tmp_path.iterdir()} == {"here", "there"}


async def test_memory_has_the_bytes_that_are_asked_for() -> None:
    store = open_store("memory:?bytes=10")
    await store.put("a", b"." * 9, 60)
    with pytest.raises(StoreFull):
        await store.put("a", b"." * 10, 60)


NONSENSE = [
    "", " ", "a\0b", "memory:x", "memory:?", "memory:?bytes=", "memory:?bytes=0", "memory:?bytes=-1",
    "memory:?bytes=1k", "memory:?bytes=1&bytes=2", "memory:?seconds=3", "s3:bucket", "redis:host", "file:/path",
    "file://host/path", "file://", "nosuch://bucket", "redis://", "redis://host:port",
    "redis://:hunter2@host:port", "redis://host:99999999/0", "local://", "s3://", "s3:///",
]  # fmt: skip


@pytest.mark.parametrize("url", NONSENSE)
def test_nonsense_is_refused_in_one_line(url: str) -> None:
    with pytest.raises(ValueError) as refusal:
        open_store(url)
    message = str(refusal.value)
    assert message and "\n" not in message
    assert "hunter2" not in message


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"cannot keep artefacts in .*file"):
        open_store(str(tmp_path / "file"))


def test_a_protocol_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ValueError, match=r"^cannot keep artefacts in s3://\.\.\.: .*s3fs[^\n]*$"):
        open_store("s3://key:word@bucket/prefix")


@pytest.mark.parametrize(
    "module, url, extra",
    [("fsspec", "s3://bucket/prefix", "artefacts"), ("redis", "redis://host", "queue")],
)
def test_a_missing_extra_is_named(module: str, url: str, extra: str) -> None:
    script = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from service.artefacts.open import open_store\n"
        f"try: open_store({url!r})\n"
        "except ValueError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert f"pip install 'maskserve[{extra}]'" in done.stdout


def test_nothing_here_needs_torch() -> None:
    script = (
        "import importlib, pkgutil, sys, service.artefacts as root\n"
        "for found in pkgutil.walk_packages(root.__path__, 'service.artefacts.'): importlib.import_module(found.name)\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
