"""Videos over Redis: requests, states and results travel, and go on elsewhere with the same bits."""

import asyncio
import uuid
from collections.abc import Sequence as Seq
from dataclasses import replace
from pathlib import Path
from time import sleep

import numpy as np
import pytest

from models.decoder import GenerationRequest, Sequence, Work
from models.mcvd.decoder import MCVDDecoder
from models.spec import Sampling
from service.engine.events import Done, Event, Progress, SampleDone
from service.engine.request import Ticket
from tests.live import one_thread_count
from tests.models.mcvd.test_decoder import opened
from tests.service.dispatch.places import client, events, local, worker
from tests.tiny import tiny_mcvd_checkpoint

pytestmark = pytest.mark.timeout(60)

STEPS = 10
PAST = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 1), np.uint8)
REQUEST = GenerationRequest(
    "generate",
    None,
    Sampling(num_inference_steps=STEPS),
    seed=7,
    frames=8,
    clip_task="prediction",
    past=PAST,
    partials=2,
)


class Slow(MCVDDecoder):
    """Every network call takes its time."""

    def run(self, work: Work, seqs: Seq[Sequence]) -> None:
        sleep(0.02)
        super().run(work, seqs)


def decoder(place: Path, name: str, slow: bool = False) -> MCVDDecoder:
    made = opened(place)
    made.spec = replace(made.spec, id=name)
    if slow:
        made.__class__ = Slow
    return made


def ticket(model: str) -> Ticket:
    return Ticket(f"req_{uuid.uuid4().hex[:24]}", model, REQUEST, progress=True)


def made(found: list[Event]) -> SampleDone:
    assert isinstance(found[-1], Done), found[-1]
    [only] = [event for event in found if isinstance(event, SampleDone)]
    return only


@pytest.mark.parametrize("left_at", [9, 19], ids=["within the first block", "within the second"])
async def test_a_state_goes_on_at_another_worker(url: str, tmp_path: Path, left_at: int) -> None:
    """A state is saved at every eighth call of a block, and behind each block."""
    name, place = f"mcvd-{uuid.uuid4().hex[:8]}", tiny_mcvd_checkpoint(tmp_path)
    with one_thread_count(1):
        async with local(decoder(place, name)) as here:
            wanted = made(await events(here, ticket(name)))
        async with client(url, decoder(place, name)) as there:
            coming = aiter(await there.submit(ticket(name)))
            found: list[Event] = []
            async with worker(url, decoder(place, name, slow=True)):
                while not (found and isinstance(found[-1], Progress) and found[-1].step == left_at):
                    found.append(await asyncio.wait_for(anext(coming), 20))
            async with worker(url, decoder(place, name)):
                found += [event async for event in coming]
    again = made(found)
    assert left_at - 9 < again.report.resumed_from_step <= left_at
    assert again.report.plan == wanted.report.plan
    assert again.artifact.array.shape == (8, 16, 16, 1)
    assert np.array_equal(again.artifact.array, wanted.artifact.array)
