"""Closed-loop HTTP clients: each sends its next request when the last was answered."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import httpx

TIMEOUT = 120.0


@dataclass(frozen=True)
class Answered:
    """Latencies in seconds of the requests that ended within the window, and its length."""

    latencies: list[float]
    seconds: float

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds


def closed_loop(url: str, body: dict[str, object], classes: int, clients: int, seconds: float) -> Answered:
    """Run `clients` for `seconds` after everybody has had one answer."""
    return asyncio.run(_closed_loop(url, body, classes, clients, seconds))


async def _closed_loop(url: str, body: dict[str, object], classes: int, clients: int, seconds: float) -> Answered:
    numbers = count()
    ends: list[tuple[float, float]] = []  # (when, latency)
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT) as http:
        await asyncio.gather(*(_ask(http, body, classes, numbers) for _ in range(clients)))
        start = time.perf_counter()

        async def client() -> None:
            while time.perf_counter() - start < seconds:
                sent = time.perf_counter()
                await _ask(http, body, classes, numbers)
                ends.append((time.perf_counter(), time.perf_counter() - sent))

        await asyncio.gather(*(client() for _ in range(clients)))
    last = max(when for when, _ in ends)
    return Answered([latency for _, latency in ends], last - start)


async def _ask(http: httpx.AsyncClient, body: dict[str, object], classes: int, numbers: Iterator[int]) -> None:
    number = next(numbers)
    answer = await http.post("/v1/images/generations", json={**body, "prompt": str(number % classes)})
    answer.raise_for_status()
