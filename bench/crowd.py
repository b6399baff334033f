"""Clients that keep an engine busy from a thread of their own while something is measured."""

import threading
from random import Random
from types import TracebackType
from typing import Self

from bench.drive import Driver
from models.decoding.plan import Plan
from models.spec import Sampling
from service.engine.events import Done, Failed, Terminal
from service.engine.mailbox import Mailbox


class Crowd:
    """`clients` that each send their next request when the last was answered.

    They begin at random moments within `apart` seconds, so that they stand at different places of their runs. What is
    under way at the end of the block is cancelled.
    """

    def __init__(
        self, driver: Driver, sampling: Sampling, clients: int, apart: float, seed: int, plan: Plan | None = None
    ) -> None:
        self.driver = driver
        self._asks = (sampling, plan)
        self._clients = clients
        rng, now = Random(seed), driver.engine.now()
        self._starts = sorted(now + rng.uniform(0.0, apart) for _ in range(clients))  # of those who have not begun
        self._ready = threading.Semaphore(0)
        self._mailbox = Mailbox(self._ready.release)
        self._running: set[str] = set()
        self._changed = threading.Condition()
        self._answers: list[float] = []  # when, since all have begun
        self._failure = ""
        self._stopping = False
        self._thread = threading.Thread(target=self._live, name="crowd", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopping = True
        self._ready.release()
        self._thread.join()

    def seconds(self, answers: int) -> float:
        """Waits for the next `answers` + 1 answers to a crowd that is complete; from the first of them to the last."""
        with self._changed:
            first = len(self._answers)
            self._changed.wait_for(lambda: self._failure or len(self._answers) > first + answers)
            if self._failure:
                raise RuntimeError(self._failure)
            return self._answers[first + answers] - self._answers[first]

    def _live(self) -> None:
        now = self.driver.engine.now
        while not self._stopping:
            self._ready.acquire(timeout=max(0.0, self._starts[0] - now()) if self._starts else None)
            while self._starts and self._starts[0] <= now():
                self._starts.pop(0)
                self._send()
            for _ in range(self._ended()):
                self._send()
        for ticket in self._running:
            self.driver.engine.cancel(ticket)
        while self._running:
            self._ready.acquire()
            self._ended()

    def _send(self) -> None:
        sampling, plan = self._asks
        self._running.add(self.driver.send(sampling, self._mailbox, plan))

    def _ended(self) -> int:
        """How many requests have ended since the last look."""
        over = [event for event in self._mailbox.take() if isinstance(event, Terminal)]
        with self._changed:
            for event in over:
                self._running.discard(event.request)
                if isinstance(event, Failed) and not self._stopping:
                    self._failure = event.message
                elif isinstance(event, Done) and not self._starts:
                    self._answers.append(self.driver.engine.now())
            self._changed.notify_all()
        return len(over)
