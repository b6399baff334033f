"""Weights load in threads of their own; the engine is told when a model is there, or why not."""

import threading
from collections.abc import Callable

from models.catalogue import Entry
from models.checkpoint import CheckpointError
from models.decoder import IterativeDecoder

Loaded = Callable[[str, IterativeDecoder | str], None]  # model id, decoder or what went wrong


class Loader:
    """`want` starts a model's load unless it is under way, until `settled`. One thread at a time calls these."""

    def __init__(self, device: str, dtype: str, loaded: Loaded) -> None:
        self._device, self._dtype, self._loaded = device, dtype, loaded
        self._under_way: set[str] = set()

    def want(self, entry: Entry) -> None:
        if entry.spec.id in self._under_way:
            return
        self._under_way.add(entry.spec.id)
        threading.Thread(target=self._load, args=(entry,), name=f"load {entry.spec.id}", daemon=True).start()

    def settled(self, model: str) -> None:
        """The result has arrived where it is used."""
        self._under_way.discard(model)

    def _load(self, entry: Entry) -> None:
        result: IterativeDecoder | str
        try:
            result = entry.family.load(entry.spec, entry.path, self._device, self._dtype)
        except CheckpointError as error:
            result = str(error)
        except Exception as error:  # a family's own code: its failure must not end the waiters silently
            result = f"{entry.path}: {type(error).__name__}: {error}"
        self._loaded(entry.spec.id, result)
