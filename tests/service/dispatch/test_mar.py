"""Continuous tokens over Redis: requests, states and results travel, and go on elsewhere with the same bits."""

import asyncio
import uuid
from collections.abc import Sequence as Seq
from dataclasses import replace
from time import sleep

import numpy as np
import pytest

from models.decoder import GenerationRequest, Sequence, Work
from models.mar.decoder import MARDecoder
from models.spec import Sampling
from service.engine.events import Done, Event, Progress, SampleDone
from service.engine.request import Ticket
from tests.live import one_thread_count
from tests.models.mar.build import tiny_decoder
from tests.service.dispatch.places import client, events, local, worker

pytestmark = pytest.mark.timeout(60)

REQUEST = GenerationRequest(
    "edit",
    1,
    Sampling(num_inference_steps=8, guidance_scale=2.0, reuse=1, full_first=4, diffusion_steps=30),
    seed=7,
    n=2,
    image=np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8),
    mask=np.arange(256).reshape(16, 16) % 16 < 12,
    partials=2,
)


class Slow(MARDecoder):
    """Every forward takes its time."""

    def run(self, work: Work, seqs: Seq[Sequence]) -> None:
        sleep(0.02)
        super().run(replace(work, times=min(work.times, 10)), seqs)


def decoder(name: str, slow: bool = False) -> MARDecoder:
    made = tiny_decoder()
    made.spec = replace(made.spec, id=name)
    if slow:
        made.__class__ = Slow
    return made


def ticket(model: str, request: GenerationRequest = REQUEST) -> Ticket:
    return Ticket(f"req_{uuid.uuid4().hex[:24]}", model, request, progress=True)


def made(found: list[Event]) -> list[SampleDone]:
    assert isinstance(found[-1], Done), found[-1]
    return sorted((e for e in found if isinstance(e, SampleDone)), key=lambda event: event.report.sample)


async def test_a_state_goes_on_at_another_worker(url: str) -> None:
    name = f"mar-{uuid.uuid4().hex[:8]}"
    with one_thread_count(1):
        async with local(decoder(name)) as here:
            wanted = made(await events(here, ticket(name)))
        async with client(url, decoder(name)) as there:
            coming = aiter(await there.submit(ticket(name)))
            found: list[Event] = []
            async with worker(url, decoder(name, slow=True)):
                while not (found and isinstance(found[-1], Progress) and found[-1].step == 4):
                    found.append(await anext(coming))
            async with worker(url, decoder(name)):
                found += [event async for event in coming]
    again = made(found)
    assert min(event.report.resumed_from_step for event in again) >= 3
    for one, other in zip(again, wanted, strict=True):
        assert one.report.plan == other.report.plan
        assert np.array_equal(one.artifact.tokens, other.artifact.tokens)
        assert one.artifact.tokens.dtype == np.float32 and one.artifact.tokens.shape == (16, 4)
        assert np.array_equal(one.artifact.array, other.artifact.array)


async def test_a_kept_grid_travels(url: str) -> None:
    """As of an edit of an earlier result."""
    name = f"mar-{uuid.uuid4().hex[:8]}"
    kept = np.random.default_rng(1).standard_normal((16, 4)).astype(np.float32)
    request = replace(REQUEST, tokens=kept)
    with one_thread_count(1):
        async with worker(url, decoder(name)), client(url, decoder(name)) as there:
            [first, _] = made(await asyncio.wait_for(events(there, ticket(name, request)), 50))
    outside = ~REQUEST.mask.reshape(4, 4, 4, 4).any(axis=(1, 3)).reshape(-1)  # type: ignore[union-attr]
    assert np.array_equal(first.artifact.tokens[outside], kept[outside])
    assert not np.isclose(first.artifact.tokens[~outside], kept[~outside]).any()
