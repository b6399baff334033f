"""A dispatcher without an engine: pictures are a plain function of seed and sample. Free of torch."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np

from models.catalogue import Catalogue, Entry
from models.decoder import Artifact, GenerationRequest
from models.family import Family, Understood
from models.prompts import understand_class
from models.spec import DecoderSpec, Sampling
from service.artefacts.memory import MemoryStore
from service.dispatch.base import PLAIN, Health, Subscription, Terms
from service.dispatch.journals import Journals
from service.engine.batch import StepRecord
from service.engine.events import Done, Event, Preview, Progress, Report, SampleDone
from service.engine.request import DoesNotFit, Refused, Ticket, UnknownModel

SPEC = DecoderSpec(
    id="toy",
    family="toy",
    modality="image",
    tasks=frozenset({"generate", "edit", "variation"}),
    size=(8, 8),
    grid=(4, 4),
    classes=("shirt", "sneaker", "ankle boot"),
    sampling=Sampling(num_inference_steps=4),
    quality={"low": 2, "medium": 4, "high": 8},
    min_steps=1,
    max_steps=16,
    max_reuse=2,
    guidable=True,
    created=1_700_000_000,
    checkpoint="0123456789abcdef",
    licence="Apache-2.0",
    noncommercial=False,
    details={"channels": 3},
)


class ToyFamily:
    name = "toy"
    importers: Mapping[str, Callable[..., None]] = {}
    exporters: Mapping[str, Callable[..., None]] = {}

    def understand(self, spec: DecoderSpec, prompt: str) -> Understood:
        return understand_class(prompt, spec.classes)


def entry(spec: DecoderSpec) -> Entry:
    return Entry(spec, Path("nowhere"), cast(Family, ToyFamily()))


def picture(seed: int, sample: int, spec: DecoderSpec = SPEC) -> np.ndarray:
    """uint8 [H, W, C]"""
    shape = (spec.size[1], spec.size[0], cast(int, spec.details["channels"]))
    return np.random.default_rng((seed, sample)).integers(0, 256, shape, np.uint8)


def artifact(seed: int, sample: int, spec: DecoderSpec) -> Artifact:
    return Artifact(picture(seed, sample, spec), np.full(spec.length, sample, np.int64))


def script(ticket: Ticket, spec: DecoderSpec) -> list[Event]:
    """What an engine that never fails reports."""
    request = ticket.request
    steps = request.plan.steps if request.plan else request.sampling.num_inference_steps
    plan = str(request.plan) if request.plan else ",".join(["1"] * (steps - 1) + [str(17 - steps)])
    events: list[Event] = []
    for sample in range(request.n):
        events.append(Progress(ticket.id, sample, 1, steps, 1 / steps))
        for index in range(request.partials):
            partial = artifact(request.seed, sample, spec)
            events.append(Preview(ticket.id, sample, index, index + 1, steps, (index + 1) / steps, partial))
        report = Report(
            model=spec.id,
            checkpoint=spec.checkpoint,
            seed=request.seed,
            sample=sample,
            plan=plan,
            steps_full=steps,
            steps_reuse=0,
            shortened=False,
            fingerprint="toy-1",
            queue_seconds=0.001,
            run_seconds=0.002,
            tokens=decoded(request, spec),
        )
        events.append(SampleDone(ticket.id, artifact(request.seed, sample, spec), report))
    return [*events, Done(ticket.id, 0.001, 0.002)]


def decoded(request: GenerationRequest, spec: DecoderSpec) -> int:
    if request.mask is None:
        return spec.length
    cells = request.mask.reshape(4, spec.size[1] // 4, 4, spec.size[0] // 4)
    return int(cells.any(axis=(1, 3)).sum())


@dataclass
class FakeSubscription:
    """`hold` is the number of events after which nothing comes any more."""

    events: list[Event]
    hold: int | None = None
    closed: bool = False
    hear: Callable[[Event], None] = lambda event: None

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events()

    async def _events(self) -> AsyncIterator[Event]:
        for at, event in enumerate(self.events):
            if at == self.hold:
                await asyncio.Event().wait()
            await asyncio.sleep(0)
            self.hear(event)
            yield event

    def close(self) -> None:
        self.closed = True


@dataclass
class FakeDispatcher:
    catalogue: Catalogue = field(default_factory=lambda: Catalogue({"toy": entry(SPEC)}))
    script: Callable[[Ticket, DecoderSpec], Iterable[Event]] = script
    refuse: Refused | None = None
    hold: int | None = None
    alive: bool = True
    tickets: list[Ticket] = field(default_factory=list)
    subscriptions: list[FakeSubscription] = field(default_factory=list)
    drained: list[float] = field(default_factory=list)
    listeners: list[Callable[[StepRecord], None]] = field(default_factory=list)
    hearers: list[Callable[[Ticket, Event], None]] = field(default_factory=list)
    store: MemoryStore = field(default_factory=MemoryStore)
    jobs: Journals = field(default_factory=lambda: Journals(900, 1 << 28))
    terms: list[Terms] = field(default_factory=list)

    @classmethod
    def serving(cls, *specs: DecoderSpec) -> "FakeDispatcher":
        return cls(Catalogue({spec.id: entry(spec) for spec in specs}))

    @property
    def request(self) -> GenerationRequest:
        return self.tickets[-1].request

    def watch(self, listener: Callable[[StepRecord], None]) -> None:
        """Nothing runs in batches here, but a test may say so."""
        self.listeners.append(listener)

    def hear(self, listener: Callable[[Ticket, Event], None]) -> None:
        self.hearers.append(listener)

    @property
    def ledger(self) -> Journals:
        return self.jobs

    async def submit(self, ticket: Ticket, terms: Terms = PLAIN) -> Subscription:
        self.terms.append(terms)
        return await self.jobs.submit(ticket, terms, self._start) if terms.kept else self._start(ticket)

    def _start(self, ticket: Ticket) -> FakeSubscription:
        if self.refuse is not None:
            raise self.refuse
        if ticket.model not in self.catalogue.entries:
            raise UnknownModel(ticket.model)
        spec = self.catalogue.entries[ticket.model].spec
        plan = ticket.request.plan
        if plan is not None and plan.total != decoded(ticket.request, spec):
            raise DoesNotFit(f"the plan reveals {plan.total} tokens")
        self.tickets.append(ticket)

        def hear(event: Event) -> None:
            for listener in self.hearers:
                listener(ticket, event)

        self.subscriptions.append(FakeSubscription(list(self.script(ticket, spec)), self.hold, hear=hear))
        return self.subscriptions[-1]

    def now(self) -> float:
        return 1000.0

    def health(self) -> Health:
        return Health(self.alive, self.alive, running=0, waiting=0)

    async def drain(self, timeout: float) -> None:
        self.drained.append(timeout)


def variant(**changes: object) -> DecoderSpec:
    return replace(SPEC, **changes)  # type: ignore[arg-type]
