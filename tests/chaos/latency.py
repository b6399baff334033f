"""What the way over Redis costs a request that finds everything idle."""

import statistics
import time
from dataclasses import dataclass, field

import httpx2

from tests.chaos.team import Team

BODY = {"prompt": "bag", "num_inference_steps": 4}
PAUSE = 0.05


@dataclass
class Latency:
    """Milliseconds of the same request in one process and over Redis, in turn."""

    here: list[float] = field(default_factory=list)
    there: list[float] = field(default_factory=list)

    @property
    def added(self) -> list[float]:
        """Of each pair, in order of size."""
        return sorted(there - here for here, there in zip(self.here, self.there, strict=True))

    @property
    def p50(self) -> float:
        return statistics.median(self.there) - statistics.median(self.here)


def latency(one: Team, two: Team, pairs: int) -> Latency:
    found = Latency()
    with httpx2.Client(base_url=one.url) as here, httpx2.Client(base_url=two.url) as there:
        for at in range(-3, pairs):
            for client, times in ((here, found.here), (there, found.there)):
                time.sleep(PAUSE)
                begun = time.perf_counter()
                client.post("/v1/images/generations", json=BODY | {"seed": at + 3}).raise_for_status()
                if at >= 0:
                    times.append(1000 * (time.perf_counter() - begun))
    return found
