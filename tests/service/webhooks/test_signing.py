import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.webhooks.signing import BadSignature, Secret, signed, verify

NOW = 1_800_000_000.0
SECRET = Secret(b"s" * 24)


def test_the_example_of_the_specification() -> None:
    """From the reference implementations of standardwebhooks.com."""
    secret = Secret.parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_secrets() -> None:
    assert Secret.parse("x" * 24) == Secret(b"x" * 24)
    assert Secret.parse("ü" * 12).key == "ü".encode() * 12
    assert Secret.parse("whsec_" + base64.b64encode(bytes(range(32))).decode()) == Secret(bytes(range(32)))
    assert "sss" not in repr(SECRET)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "0 bytes"),
        ("x" * 23, "23 bytes"),
        ("whsec_" + base64.b64encode(b"x" * 23).decode(), "23 bytes"),
        ("whsec_not base64 but long enough to be a secret", "no base64"),
        ("whsec_" + "ü" * 24, "no base64"),
    ],
)
def test_weak_secrets_are_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Secret.parse(text)


@given(st.binary(), st.floats(1e9, 2e9), st.floats(-298, 298))
def test_receivers_verify_what_was_signed(body: bytes, now: float, late: float) -> None:
    headers = signed(SECRET, "req_1", now, body)
    assert verify(SECRET, headers, body, now + late) == "req_1"
    titled = {name.title(): value for name, value in headers.items()}
    titled["Webhook-Signature"] = f"v1a,other v1,AAAA {titled['Webhook-Signature']} ü"
    assert verify(SECRET, titled, body, now + late) == "req_1"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"webhook-id": "req_2"}, "no signature"),
        ({"webhook-timestamp": "1800000001"}, "no signature"),
        ({"webhook-timestamp": "1799999699"}, "time stamp"),
        ({"webhook-timestamp": "1800000301"}, "time stamp"),
        ({"webhook-timestamp": "1_800_000_000"}, "time stamp"),
        ({"webhook-timestamp": "١٨٠٠٠٠٠٠٠٠"}, "time stamp"),
        ({"webhook-signature": ""}, "no signature"),
        ({"webhook-signature": "v1,"}, "no signature"),
    ],
)
def test_changed_messages_are_refused(change: dict[str, str], why: str) -> None:
    with pytest.raises(BadSignature, match=why):
        verify(SECRET, signed(SECRET, "req_1", NOW, b"body") | change, b"body", NOW)


def test_other_bodies_secrets_and_missing_headers_are_refused() -> None:
    headers = signed(SECRET, "req_1", NOW, b"body")
    with pytest.raises(BadSignature, match="no signature"):
        verify(SECRET, headers, b"body ", NOW)
    with pytest.raises(BadSignature, match="no signature"):
        verify(Secret(b"t" * 24), headers, b"body", NOW)
    with pytest.raises(BadSignature, match="webhook-id is missing"):
        verify(SECRET, {name: headers[name] for name in headers if name != "webhook-id"}, b"body", NOW)
