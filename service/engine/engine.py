"""The engine: one thread per device that owns every tensor. Its loop is `_turn`; the scheduler decides, this runs.

inbox -> plan -> run -> commit -> publish
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog
import torch

from models.catalogue import Catalogue
from models.decoder import Artifact, IterativeDecoder, Kind, PoisonedRows
from service.engine.batch import Batch, StepRecord
from service.engine.events import Event, Failed, Terminal
from service.engine.failures import is_fatal, is_out_of_memory
from service.engine.fingerprint import fingerprint, pick_device
from service.engine.loading import Loader
from service.engine.mailbox import Mailbox
from service.engine.policy import Policy
from service.engine.request import Draining, EngineDead, ModelUnavailable, Ticket, UnknownModel
from service.engine.scheduler import StepScheduler

log = structlog.get_logger()

RETRY_LOADING = 30.0  # seconds before a checkpoint that failed to load is read again


@dataclass(frozen=True)
class Vitals:
    alive: bool
    draining: bool
    running: int  # samples
    waiting: int  # requests
    heartbeat: float  # seconds since the loop last turned


class Engine:
    """Runs the models of a catalogue on one device. `submit` and `cancel` may be called from any thread."""

    def __init__(
        self,
        catalogue: Catalogue,
        policy: Policy | None = None,
        device: str = "auto",
        dtype: str = "float32",
        threads: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.catalogue = catalogue
        self.device = pick_device(device)
        self.now = clock
        self._threads = threads
        if threads is not None:
            torch.set_num_threads(threads)
        chosen = policy or Policy.for_device(self.device)
        self.scheduler = StepScheduler(chosen, fingerprint(self.device, dtype))
        self.decoders: dict[str, IterativeDecoder] = {}
        self.watchers: list[Callable[[StepRecord], None]] = []
        self._loader = Loader(self.device, dtype, self._loaded)
        self._lock = threading.Lock()  # around the scheduler and the subscribers
        self._wake = threading.Condition()
        self._inbox: deque[Callable[[float], None]] = deque()
        self._subscribers: dict[str, Mailbox] = {}
        self._unavailable: dict[str, float] = {}  # until when nobody tries to load it again
        self._draining = False
        self._stopping = False
        self._dead = ""
        self._beat = clock()
        self._thread = threading.Thread(target=self._live, name="engine", daemon=True)

    # -- from any thread

    def start(self) -> "Engine":
        self._thread.start()
        return self

    def submit(self, ticket: Ticket, mailbox: Mailbox) -> None:
        """Take a ticket; its events go to `mailbox`, the last is Done or Failed. Raises `Refused`."""
        entry = self.catalogue.entries.get(ticket.model)
        if entry is None:
            raise UnknownModel(f"there is no model {ticket.model!r}")
        with self._lock:
            if self._dead:
                raise EngineDead("the engine has stopped")
            if self._draining:
                raise Draining("the server is shutting down")
            if self.now() < self._unavailable.get(ticket.model, 0.0):
                raise ModelUnavailable("this model cannot be loaded")
            self.scheduler.submit(ticket, self.now())
            self._subscribers[ticket.id] = mailbox
            if ticket.model not in self.decoders:
                self._loader.want(entry)
        self._send(lambda now: None)

    def cancel(self, ticket_id: str) -> None:
        """Takes effect at the next tick; a request that is over is none of its business."""
        self._send(lambda now: self.scheduler.cancel(ticket_id, now))

    def load(self, model: str) -> None:
        """Load a model before anybody asks for it."""
        with self._lock:
            if model not in self.decoders:
                self._loader.want(self.catalogue.entries[model])

    def vitals(self) -> Vitals:
        with self._lock:
            return Vitals(
                alive=not self._dead and self._thread.is_alive(),
                draining=self._draining,
                running=self.scheduler.sequences,
                waiting=self.scheduler.waiting,
                heartbeat=self.now() - self._beat,
            )

    def close_door(self) -> None:
        """Refuse new tickets from now on."""
        with self._lock:
            self._draining = True

    def idle(self) -> bool:
        """Nothing runs or waits, or ever will again."""
        with self._lock:
            return bool(self._dead) or (self.scheduler.sequences == 0 and self.scheduler.waiting == 0)

    def fail_rest(self) -> None:
        self._send(lambda now: self.scheduler.fail_all("draining", "the server is shutting down", now))

    def stop(self) -> None:
        """End the thread after its current batch; whoever waits is told."""
        self.close_door()
        self.fail_rest()
        self._stopping = True
        self._send(lambda now: None)
        if self._thread.is_alive():
            self._thread.join()

    # -- the loop

    def _live(self) -> None:
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        try:
            while not (self._stopping and self.idle()):
                self._turn()
        except BaseException as error:
            self._die(f"the engine stopped: {type(error).__name__}")
            log.exception("the engine died")

    def _turn(self) -> None:
        with self._lock:
            self._read_inbox()
            batch = self.scheduler.plan(self.now())
            events = self.scheduler.take_events()
        self._publish(events)
        if batch is None:
            self._sleep()
        else:
            self._run(batch)
        self._beat = self.now()

    def _run(self, batch: Batch) -> None:
        started = self.now()
        try:
            artifacts = _execute(batch)
        except Exception as error:
            self._failed(batch, error)
        else:
            now = self.now()
            with self._lock:
                self.scheduler.commit(batch, now - started, now, artifacts)
                events = self.scheduler.take_events()
                record = self.scheduler.log[-1]
            self._publish(events)
            for watcher in self.watchers:
                watcher(record)

    def _failed(self, batch: Batch, error: Exception) -> None:
        """A failure stays with its owner: who is named fails, else the halves run on their own until it is alone."""
        culprits = batch.holding(error.sequences) if isinstance(error, PoisonedRows) else ()
        if is_fatal(error):
            raise error
        if culprits:
            self._fail(batch.part(culprits), error)
            rest = batch.part(e for e in batch.entries if e not in culprits)
            if rest.entries:
                self._run(rest)
        elif len(batch.entries) == 1:
            log.error("a sequence failed", model=batch.model, kind=batch.kind, exc_info=error)
            self._fail(batch, error)
        elif is_out_of_memory(error):
            with self._lock:
                self.scheduler.shrink(batch, self.now())
        else:
            for half in batch.halves():
                self._run(half)

    def _fail(self, batch: Batch, error: BaseException) -> None:
        code = "out_of_memory" if is_out_of_memory(error) else "internal_error"
        what = "this request's numbers overflowed" if isinstance(error, PoisonedRows) else "a step failed"
        message = f"{what}; other requests are not affected"
        with self._lock:
            self.scheduler.fail(batch.entries, code, message, self.now())
            events = self.scheduler.take_events()
        self._publish(events)

    # -- inside

    def _send(self, act: Callable[[float], None]) -> None:
        with self._wake:
            self._inbox.append(act)
            self._wake.notify()

    def _read_inbox(self) -> None:
        while self._inbox:
            self._inbox.popleft()(self.now())

    def _sleep(self) -> None:
        with self._lock:
            until = self.scheduler.next_deadline()
        wait = 1.0 if until is None else max(0.0, min(1.0, until - self.now()))
        with self._wake:
            if not self._inbox and not self._stopping:
                self._wake.wait(wait)

    def _loaded(self, model: str, result: IterativeDecoder | str) -> None:
        def add(now: float) -> None:
            self._loader.settled(model)
            if isinstance(result, str):
                log.error("a model could not be loaded", model=model, why=result)
                self._unavailable[model] = now + RETRY_LOADING
                self.scheduler.fail_model(model, "this model cannot be loaded", now)
            else:
                self.decoders[model] = result
                self.scheduler.add_model(model, result, now)

        self._send(add)

    def _publish(self, events: list[Event]) -> None:
        for event in events:
            mailbox = self._subscribers.get(event.request)
            if isinstance(event, Terminal):
                self._subscribers.pop(event.request, None)
            if mailbox is not None:
                _deliver(mailbox, event)

    def _die(self, why: str) -> None:
        with self._lock:
            self._dead = why
            waiting, self._subscribers = self._subscribers, {}
        for request, mailbox in waiting.items():
            _deliver(mailbox, Failed(request, "internal_error", "the engine stopped"))


def _execute(batch: Batch) -> list[Artifact]:
    if batch.kind not in (Kind.PREVIEW, Kind.FINISH):
        batch.decoder.run(batch.work, batch.sequences)
        return []
    preview = batch.kind is Kind.PREVIEW
    made = batch.decoder.preview(batch.snapshots) if preview else batch.decoder.finish(batch.sequences)
    if len(made) != len(batch.entries):
        raise RuntimeError(f"{batch.model}: {len(made)} results for {len(batch.entries)} samples")
    return made


def _deliver(mailbox: Mailbox, event: Event) -> None:
    """A reader that cannot be woken loses its events; nobody else does."""
    try:
        mailbox.put(event)
    except Exception:
        log.exception("a subscriber could not be told")
