"""The numbers that the scheduler obeys."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from models.decoder import Kind

# Time shares of a model's lanes. Finishing and encoding run once per sample and let a neighbour go
# or join, which keeps the step batches full; previews never take more than a fifth from steps.
WEIGHTS: Mapping[Kind, float] = {
    Kind.ENCODE: 4.0,
    Kind.START: 1.0,
    Kind.STEP: 1.0,
    Kind.CHAIN: 1.0,
    Kind.PREVIEW: 0.25,
    Kind.FINISH: 4.0,
}


@dataclass(frozen=True)
class Policy:
    """Limits and patience. Seconds, bytes, requests or sequences as named.

    Ageing: every `aging` seconds since its submission lift a request by one priority, so that LOW
    competes with HIGH after twice that. `patience` is the deadline (since submission) that orders a
    request without a nearer one. A waiting request may be overtaken by smaller ones for `bypass`
    seconds; from then on the memory that becomes free is kept for it.
    """

    tick_seconds: float = 0.1
    max_waiting: int = 64
    max_sequences: int = 64
    memory_budget: int = 4 << 30
    max_batch_rows: int | None = None
    aging: float = 15.0
    patience: float = 60.0
    bypass: float = 1.0
    shed_mark: float = 0.75  # filled share of the waiting room from which steps are shed
    retry_after: float = 5.0  # answer while nothing was measured
    row_seconds: float = 1e-3  # assumed cost of a row while nothing was measured
    log_size: int = 1024
    weights: Mapping[Kind, float] = field(default_factory=lambda: dict(WEIGHTS))

    @classmethod
    def for_device(cls, device: str) -> "Policy":
        """Ticks of 100 ms on a CPU, where half the memory may be reserved; 20 ms elsewhere."""
        if device != "cpu":
            return cls(tick_seconds=0.02)
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return cls(tick_seconds=0.1, memory_budget=physical // 2)

    def too_large(self, memory: int) -> str:
        return f"the request needs {memory >> 20} MiB; there are {self.memory_budget >> 20} MiB for all"
