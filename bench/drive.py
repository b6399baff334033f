"""Requests against an engine in this process, in a closed loop: so many in flight, a new one for each that ends."""

import threading
import time
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from bench.context import Context
from models.catalogue import Catalogue
from models.decoder import Condition, GenerationRequest
from models.decoding.plan import Plan
from models.spec import Sampling
from service.engine.batch import StepRecord
from service.engine.engine import Engine
from service.engine.events import Done, Failed
from service.engine.mailbox import Mailbox
from service.engine.policy import Policy
from service.engine.request import Ticket


@dataclass
class Driver:
    """An engine with one model. Tickets are numbered: number i has seed i, and asks for condition i, counted round, or
    for what `asks` says.
    """

    engine: Engine
    model: str
    conditions: Seq[Condition | None]
    asks: Callable[[int, Sampling], GenerationRequest] | None = None
    numbers: Iterator[int] = field(default_factory=count)

    def run(self, sampling: Sampling, in_flight: int, images: int) -> float:
        """Seconds for `images` requests of one image each."""
        ready = threading.Semaphore(0)
        mailbox = Mailbox(ready.release)
        sent = done = 0
        start = time.perf_counter()
        while done < images:
            while sent < images and sent - done < in_flight:
                self.send(sampling, mailbox)
                sent += 1
            ready.acquire()
            for event in mailbox.take():
                if isinstance(event, Failed):
                    raise RuntimeError(event.message)
                done += isinstance(event, Done)
        return time.perf_counter() - start

    def send(self, sampling: Sampling, mailbox: Mailbox, plan: Plan | None = None, progress: bool = False) -> str:
        """Submit a request of one image; its ticket's id."""
        number = next(self.numbers)
        condition = self.conditions[number % len(self.conditions)]
        plain = GenerationRequest("generate", condition, sampling, seed=number, plan=plan)
        request = plain if self.asks is None else self.asks(number, sampling)
        self.engine.submit(Ticket(str(number), self.model, request, progress=progress), mailbox)
        return str(number)

    def watch(self) -> list[StepRecord]:
        """A list to which the engine adds every tick from now on."""
        records: list[StepRecord] = []
        self.engine.watchers.append(records.append)
        return records


@contextmanager
def driver(
    context: Context,
    directory: Path,
    policy: Policy | None = None,
    warm: Sampling | None = None,
    asks: Callable[[int, Sampling], GenerationRequest] | None = None,
) -> Iterator[Driver]:
    """An engine over one checkpoint, with the policy of the device unless one is given.

    It is warmed up by two images, made as `warm` says, else as the checkpoint does by default.
    """
    catalogue = Catalogue.scan([directory])
    [entry] = catalogue.entries.values()
    chosen = policy or Policy.for_device(context.device)
    engine = Engine(catalogue, chosen, context.device, context.dtype, context.threads).start()
    try:
        conditions: Seq[Condition | None] = range(len(entry.spec.classes)) or [(0, 1)]
        made = Driver(engine, entry.spec.id, conditions, asks)
        made.run(warm or entry.spec.sampling, 2, 2)
        yield made
    finally:
        engine.stop()
