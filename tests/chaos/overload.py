"""Ten times more requests than the workers can do: what the clients hear, and what becomes of the memory."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx2
import psutil

from tests.chaos.team import Team

BODY = {"prompt": "bag", "num_inference_steps": 8}
CLIENTS = 8  # of the measurement of what the workers can do
WARM_SHARE = 0.25  # of the time, before memory is looked at
FACTOR = 10


@dataclass
class Overload:
    """capacity: requests per second; waits: seconds of each that was made; memory: of each process, MB over time."""

    capacity: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    retry_after: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    memory: dict[str, list[float]] = field(default_factory=dict)

    @property
    def unexpected(self) -> Counter[int]:
        """Anything but 200, 429, and 503 with a Retry-After; 0 for no answer."""
        bad = Counter({status: count for status, count in self.statuses.items() if status not in (200, 429, 503)})
        missing = self.statuses[503] + self.statuses[429] - len(self.retry_after)
        return bad + Counter({503: missing})

    def wait(self, share: float) -> float:
        """Seconds that this share of the accepted requests did not exceed."""
        return sorted(self.waits)[int(share * (len(self.waits) - 1))] if self.waits else 0.0

    def spread(self, name: str) -> float:
        """Of a process's memory: the most over the least."""
        return max(self.memory[name]) / min(self.memory[name])


async def overload(members: Team, seconds: float, seconds_before: float = 10.0) -> Overload:
    """Open loop: requests come at ten times the measured rate, whatever becomes of those before."""
    found = Overload()
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=200)
    async with httpx2.AsyncClient(base_url=members.url, timeout=300, limits=limits) as http:
        found.capacity = await _capacity(http, seconds_before)
        watching = asyncio.create_task(_watch(members, found, seconds * WARM_SHARE))
        begun = time.monotonic()
        async with asyncio.TaskGroup() as asked:
            sent = 0
            while (now := time.monotonic() - begun) < seconds:
                while sent < now * found.capacity * FACTOR:
                    asked.create_task(_ask(http, found))
                    sent += 1
                await asyncio.sleep(0.005)
            watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    return found


async def _capacity(http: httpx2.AsyncClient, seconds: float) -> float:
    end, done = time.monotonic() + seconds, 0

    async def client() -> None:
        nonlocal done
        while time.monotonic() < end:
            (await http.post("/v1/images/generations", json=BODY)).raise_for_status()
            done += 1

    begun = time.monotonic()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return done / (time.monotonic() - begun)


async def _ask(http: httpx2.AsyncClient, found: Overload) -> None:
    begun = time.monotonic()
    try:
        answer = await http.post("/v1/images/generations", json=BODY)
    except httpx2.HTTPError as error:
        found.statuses[0] += 1
        found.codes[type(error).__name__] += 1
        return
    found.statuses[answer.status_code] += 1
    if answer.status_code == 200:
        found.waits.append(time.monotonic() - begun)
        return
    found.codes[answer.json()["error"]["code"]] += 1
    if "retry-after" in answer.headers:
        found.retry_after.append(float(answer.headers["retry-after"]))


async def _watch(members: Team, found: Overload, after: float) -> None:
    await asyncio.sleep(after)
    processes = {"api": members.apis[0].pid} | {f"worker {i}": one.pid for i, one in enumerate(members.workers)}
    while True:
        for name, pid in processes.items():
            found.memory.setdefault(name, []).append(psutil.Process(pid).memory_info().rss / 2**20)
        await asyncio.sleep(0.5)
