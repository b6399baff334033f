import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.artefacts.links import BadLink, ExpiredLink, Signer

KEY = "req_ab12/final-0"
URL_SAFE = string.ascii_letters + string.digits + "-_"


@given(
    key=st.from_regex(r"[A-Za-z0-9_-]{1,20}(/[A-Za-z0-9_-]{1,20}){0,3}", fullmatch=True), until=st.integers(1, 2**53)
)
def test_a_signed_key_is_read_until_its_end(key: str, until: int) -> None:
    token = Signer(b"secret").sign(key, until)
    assert set(token) <= set(URL_SAFE)
    assert Signer(b"secret").check(token, until - 1) == key
    with pytest.raises(ExpiredLink):
        Signer(b"secret").check(token, until)


@pytest.mark.parametrize("key", [KEY, KEY + "0", KEY + "00"])  # every remainder of base64
def test_no_character_may_be_changed_dropped_or_added(key: str) -> None:
    signer = Signer(b"secret")
    token = signer.sign(key, 100)
    for place, right in enumerate(token):
        for wrong in {*URL_SAFE, "=", "+", "/", ".", "\n", "ä"} - {right}:
            with pytest.raises(BadLink):
                signer.check(token[:place] + wrong + token[place + 1 :], 0)
        with pytest.raises(BadLink):
            signer.check(token[:place] + token[place + 1 :], 0)
    for end in (*URL_SAFE, "=", "==", "\n", " ", "AAAA"):
        with pytest.raises(BadLink):
            signer.check(token + end, 0)


@pytest.mark.parametrize("token", ["", "a", "====", "ä", "req_ab12/final-0", "A" * 10_000])
def test_what_was_never_signed_is_bad(token: str) -> None:
    with pytest.raises(BadLink):
        Signer(b"secret").check(token, 0)


def test_another_secret_is_bad_even_when_expired() -> None:
    token = Signer(b"secret").sign(KEY, 100)
    with pytest.raises(BadLink):
        Signer(b"another").check(token, 200)


def test_only_keys_are_signed_and_only_with_a_secret() -> None:
    with pytest.raises(ValueError):
        Signer(b"secret").sign("../etc", 100)
    with pytest.raises(ValueError):
        Signer(b"")
