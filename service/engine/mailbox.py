"""A bounded queue between the engine and one reader: partials coalesce to the newest, results are never dropped."""

import threading
from collections.abc import Callable, Hashable

from service.engine.events import Event, Preview, Progress, Saved, Waiting


class Mailbox:
    """`put` never waits. At most one Progress, Preview and Saved per sample and one Waiting per request lie in it,
    beside the results.

    `notify` is called, from the thread that puts, when the first event comes to lie in an empty box.
    """

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._lock = threading.Lock()
        self._events: dict[Hashable, Event] = {}

    def put(self, event: Event) -> None:
        key: Hashable = id(event)
        if isinstance(event, Progress | Preview | Saved):
            key = (type(event), event.request, event.sample)
        elif isinstance(event, Waiting):
            key = (Waiting, event.request)
        with self._lock:
            wake = not self._events
            self._events.pop(key, None)
            self._events[key] = event
        if wake:
            self._notify()

    def take(self) -> list[Event]:
        """Everything that lies here, in order."""
        with self._lock:
            events, self._events = list(self._events.values()), {}
        return events
