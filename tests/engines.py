"""Around a real engine: a family without files, and a client that keeps every event."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from models.decoder import IterativeDecoder
from models.spec import DecoderSpec
from service.engine.engine import Engine
from service.engine.events import Event, SampleDone, Terminal
from service.engine.mailbox import Mailbox
from service.engine.request import Ticket


@dataclass
class Shelf:
    """A family whose models are in memory already."""

    decoders: Mapping[str, IterativeDecoder]
    name: str = "shelf"

    def load(self, spec: DecoderSpec, path: Path, device: str, dtype: str) -> IterativeDecoder:
        return self.decoders[spec.id]


class Client:
    """Keeps every event of its tickets; `over` waits for the last ones."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.events: dict[str, list[Event]] = {}
        self._ready = threading.Semaphore(0)
        self._mailbox = Mailbox(self._ready.release)

    def submit(self, *tickets: Ticket) -> "Client":
        for ticket in tickets:
            self.events[ticket.id] = []
            self.engine.submit(ticket, self._mailbox)
        return self

    def until(self, met: Callable[[Event], bool]) -> "Client":
        while not any(met(event) for events in self.events.values() for event in events):
            self._read()
        return self

    def over(self) -> dict[str, Event]:
        """The last event of each ticket."""
        while not all(events and isinstance(events[-1], Terminal) for events in self.events.values()):
            self._read()
        return {id: events[-1] for id, events in self.events.items()}

    def made(self, ticket: str) -> list[SampleDone]:
        return [event for event in self.events[ticket] if isinstance(event, SampleDone)]

    def _read(self) -> None:
        assert self._ready.acquire(timeout=170), f"nothing comes after {self.events}"
        for event in self._mailbox.take():
            self.events[event.request].append(event)
