from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Settings


def test_variables_are_read_and_strangers_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKSERVE_PORT", "9000")
    monkeypatch.setenv("MASKSERVE_MODELS", "a,b")
    monkeypatch.setenv("MASKSERVE_API_KEYS", "hush,quiet")
    settings = Settings(host="0.0.0.0")
    assert settings.port == 9000
    assert settings.models == [Path("a"), Path("b")]
    assert "hush" not in repr(settings)
    assert Settings(port=1).port == 1
    monkeypatch.setenv("MASKSERVE_PROT", "1")
    with pytest.raises(ValidationError, match="MASKSERVE_PROT"):
        Settings()


def test_unknown_names_and_wrong_values_are_refused() -> None:
    with pytest.raises(ValidationError):
        Settings(prot=1)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        Settings(port=70_000)


def test_it_listens_on_loopback_unless_told_otherwise() -> None:
    assert Settings().host == "127.0.0.1"
