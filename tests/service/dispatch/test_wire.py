"""Tickets and events survive the wire; anything else is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.decoder import Artifact, GenerationRequest
from models.decoding.plan import Plan
from models.spec import Sampling
from service.dispatch.queue.wire import (
    artifact_bytes,
    event_bytes,
    read_artifact,
    read_event,
    read_ticket,
    ticket_bytes,
)
from service.engine.events import Done, Failed, Preview, Progress, Report, SampleDone, Started, Waiting
from service.engine.request import Priority, Ticket
from service.packed import pack, unpack


def test_a_ticket_arrives_as_it_was_sent() -> None:
    request = GenerationRequest(
        "edit",
        (3, 1, 4),
        Sampling(num_inference_steps=3, schedule="power:2.5", guidance_scale=2.0),
        seed=2**53,
        n=2,
        plan=Plan.parse("4+4+8"),
        image=np.arange(48, dtype=np.uint8).reshape(4, 4, 3),
        mask=np.eye(4, dtype=bool),
        tokens=np.arange(16, dtype=np.int32),
        strength=0.25,
        partials=2,
    )
    ticket = Ticket("a", "m", request, Priority.HIGH, 12.5, True, "key", (b"s0", b"s1"), True, True)
    made = read_ticket(ticket_bytes(ticket, lambda at: at + 1000), lambda wall: wall - 1000)
    for name in ("image", "mask", "tokens"):
        ours, theirs = getattr(request, name), getattr(made.request, name)
        assert np.array_equal(ours, theirs) and ours.dtype == theirs.dtype and theirs.flags.writeable
    plain = {"image": None, "mask": None, "tokens": None}
    for name in plain:
        object.__setattr__(made.request, name, None)
        object.__setattr__(request, name, None)
    assert made == ticket


REPORT = Report("m", "c", 1, 0, "8+8", 2, 0, False, "print", 0.5, 1.5, 16, 1)
ARTIFACT = Artifact(np.ones((2, 2, 3), np.uint8), np.arange(4, dtype=np.int32), {"known": np.zeros(4, bool)})


@pytest.mark.parametrize(
    "event",
    [
        Waiting("a", 3),
        Started("a", 2),
        Progress("a", 1, 2, 8, 0.25),
        Done("a", 0.5, 1.5),
        Failed("a", "deadline_exceeded", "late", {"x": 1}),
        Preview("a", 0, 1, 4, 8, 0.5, ARTIFACT),
        SampleDone("a", ARTIFACT, REPORT),
    ],
)
def test_events_arrive_as_they_were_sent(event) -> None:
    content, artifact = event_bytes(event, "a/final-0.1")
    assert len(content) < 400, "pictures do not ride along"
    sent = None if artifact is None else read_artifact(artifact_bytes(artifact))
    made, key = read_event(content, sent)
    assert key == "a/final-0.1"
    assert type(made) is type(event) and made.request == "a"
    if artifact is None:
        assert made == event
    else:
        assert np.array_equal(made.artifact.array, ARTIFACT.array)
        assert np.array_equal(made.artifact.extra["known"], ARTIFACT.extra["known"])


@given(st.binary(max_size=64))
def test_other_bytes_are_refused(content: bytes) -> None:
    for read in (lambda: read_ticket(content, float), lambda: read_event(content), lambda: read_artifact(content)):
        with pytest.raises(ValueError):
            read()


def test_objects_do_not_travel() -> None:
    with pytest.raises(TypeError):
        pack(object())
    with pytest.raises((TypeError, ValueError)):
        unpack(pack(np.array([{}], dtype=object)))
