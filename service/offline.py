"""The engine as a library: load a checkpoint, make a batch, no server.

from service import load
model = load("checkpoints/maskgit-fashion")
images = model.generate("sneaker", n=16)
"""

import secrets
import threading
from collections import deque
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import structlog
from PIL import Image
from rich.progress import Progress as Bar

from models.catalogue import Catalogue
from models.checkpoint import CheckpointError
from models.decoder import Artifact, GenerationRequest
from models.hub import local
from models.spec import DecoderSpec
from service.engine.engine import Engine
from service.engine.events import Done, Event, Failed, Progress, Report, SampleDone
from service.engine.mailbox import Mailbox
from service.engine.policy import Policy
from service.engine.request import Ticket
from service.media.composite import composite
from service.observe.logs import configure_process

OFFLINE = Policy(tick_seconds=1.0, max_waiting=1 << 20, max_sequences=256)
WINDOW = 512  # requests handed to the engine at a time


@dataclass(frozen=True)
class Made:
    """One finished sample: its pixels, its tokens and how it was made."""

    artifact: Artifact
    report: Report

    @property
    def image(self) -> Image.Image:
        return Image.fromarray(
            self.artifact.array.squeeze(-1) if self.artifact.array.shape[-1] == 1 else self.artifact.array
        )


class GenerationFailed(RuntimeError):
    """A request did not finish; the message says why."""


class Model:
    """A loaded checkpoint. Results are those of the server, to the byte, for the same request and seed."""

    def __init__(
        self, directory: Path, device: str = "auto", dtype: str = "float32", threads: int | None = None
    ) -> None:
        catalogue = Catalogue.scan([local(directory)])
        for why in catalogue.broken.values():
            raise CheckpointError(why)
        if len(catalogue.entries) != 1:
            raise CheckpointError(f"{directory}: no checkpoint here (no config.json)")
        [self.entry] = catalogue.entries.values()
        self._numbers = count()
        if not structlog.is_configured():
            configure_process("console", "warning")
        self.engine = Engine(catalogue, OFFLINE, device, dtype, threads).start()

    @property
    def spec(self) -> DecoderSpec:
        return self.entry.spec

    def generate(
        self, prompt: str, n: int = 1, seed: int | None = None, progress: bool = True, **sampling: Any
    ) -> list[Image.Image]:
        """`n` pictures of what `prompt` names. `sampling`: fields of models.spec.Sampling, e.g. guidance_scale=2.

        Raises PromptError, TypeError for an unknown field, GenerationFailed.
        """
        return [made.image for made in self.make([self.request(prompt, n, seed, **sampling)], progress)]

    def edit(
        self, image: Image.Image, mask: np.ndarray, prompt: str, n: int = 1, seed: int | None = None,
        progress: bool = True, **sampling: Any,
    ) -> list[Image.Image]:  # fmt: skip
        """Make anew where `mask` (bool [H, W]) is true; the other pixels are those of `image`, bit for bit."""
        base = self.request(prompt, n, seed, **sampling)
        mode = "L" if self.spec.details["channels"] == 1 else "RGB"
        pixels = np.asarray(image.convert(mode)).reshape(*mask.shape, -1)
        made = self.make([replace(base, task="edit", image=pixels, mask=mask)], progress)
        return [
            replace(one, artifact=replace(one.artifact, array=composite(pixels, one.artifact.array, mask))).image
            for one in made
        ]

    def request(self, prompt: str, n: int = 1, seed: int | None = None, **sampling: Any) -> GenerationRequest:
        return GenerationRequest(
            task="generate",
            condition=self.entry.family.understand(self.spec, prompt).condition,
            sampling=replace(self.spec.sampling, **sampling),
            seed=secrets.randbits(53) if seed is None else seed,
            n=n,
        )

    def make(self, requests: Iterable[GenerationRequest], progress: bool = True) -> list[Made]:
        """Run requests side by side; the samples come back in the order asked for."""
        requests = list(requests)
        made: dict[tuple[str, int], Made] = {}
        with Bar(disable=not progress, transient=True) as bar, closing(self._run(requests)) as events:
            task = bar.add_task(self.spec.id, total=sum(request.n for request in requests))
            for event in events:
                if isinstance(event, SampleDone):
                    made[event.request, event.report.sample] = Made(event.artifact, event.report)
                    bar.update(task, advance=1)
                elif isinstance(event, Progress):
                    bar.update(task, description=f"{self.spec.id} step {event.step}/{event.steps_total}")
                elif isinstance(event, Failed):
                    raise GenerationFailed(event.message)
        return [made[str(at), i] for at, request in enumerate(requests) for i in range(request.n)]

    def _run(self, requests: list[GenerationRequest]) -> Generator[Event, None, None]:
        """Events of the requests, whose ticket ids are their places in the list; a window of them is under way."""
        ready = threading.Semaphore(0)
        mailbox = Mailbox(ready.release)
        waiting = deque(enumerate(requests))
        running: dict[str, int] = {}
        try:
            while waiting or running:
                while waiting and len(running) < WINDOW:
                    at, request = waiting.popleft()
                    ticket = Ticket(f"{next(self._numbers)}", self.spec.id, request, progress=True)
                    self.engine.submit(ticket, mailbox)
                    running[ticket.id] = at
                ready.acquire()
                for event in mailbox.take():
                    at = running[event.request]
                    if isinstance(event, Done | Failed):
                        del running[event.request]
                    yield replace(event, request=str(at))
        finally:
            for ticket_id in running:
                self.engine.cancel(ticket_id)

    def close(self) -> None:
        self.engine.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def load(directory: str | Path, device: str = "auto", dtype: str = "float32", threads: int | None = None) -> Model:
    """A checkpoint directory, or org/name[@revision] on the hub, ready to generate. Raises CheckpointError."""
    return Model(Path(directory), device, dtype, threads)
