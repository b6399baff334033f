"""Ten times more requests than the workers can do: what the clients hear, and what becomes of the memory."""

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psutil

from tests.chaos.team import Team

BODY = json.dumps({"prompt": "bag", "num_inference_steps": 8})
REQUEST = (
    "POST /v1/images/generations HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-type: application/json\r\n"
    f"content-length: {len(BODY)}\r\n\r\n{BODY}"
).encode()
CLIENTS = 8  # of the measurement of what the workers can do
WARM_SHARE = 0.5  # of the time: a worker has met most shapes of batches then
FACTOR = 10


@dataclass
class Overload:
    """capacity: requests per second; waits: seconds of each that was made; memory: of each process, MB over time, from
    its begin and when it is warm.
    """

    capacity: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    retry_after: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    begin: dict[str, float] = field(default_factory=dict)
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
    found = Overload(await _capacity(members.url, seconds_before))
    watching = asyncio.create_task(_watch(members, found, seconds * WARM_SHARE))
    begun = time.monotonic()
    async with asyncio.TaskGroup() as asked:
        sent = 0
        while (now := time.monotonic() - begun) < seconds:
            while sent < now * found.capacity * FACTOR:
                asked.create_task(_count(members.url, found))
                sent += 1
            await asyncio.sleep(0.005)
        watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    return found


async def _capacity(url: str, seconds: float) -> float:
    """Requests per second with a few clients that each wait for their answer."""
    begun = time.monotonic()

    async def client() -> int:
        done = 0
        while time.monotonic() - begun < seconds:
            status, *_ = await _ask(url)
            assert status == 200
            done += 1
        return done

    done = sum(await asyncio.gather(*(client() for _ in range(CLIENTS))))
    return done / (time.monotonic() - begun)


async def _count(url: str, found: Overload) -> None:
    begun = time.monotonic()
    try:
        status, headers, body = await _ask(url)
    except OSError as error:
        status, headers, body = 0, {}, json.dumps({"error": {"code": type(error).__name__}}).encode()
    found.statuses[status] += 1
    if status == 200:
        found.waits.append(time.monotonic() - begun)
        return
    found.codes[json.loads(body)["error"]["code"]] += 1
    if "retry-after" in headers:
        found.retry_after.append(float(headers["retry-after"]))


async def _ask(url: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body. By hand, as clients with a pool take more of the processor than what is measured."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        writer.write(REQUEST)
        head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
    finally:
        writer.close()
    if not head:
        raise ConnectionResetError("no answer")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split()[1]), headers, body


async def _watch(members: Team, found: Overload, after: float) -> None:
    processes = {"api": members.apis[0].pid} | {f"worker {i}": one.pid for i, one in enumerate(members.workers)}
    found.begin = {name: _megabytes(pid) for name, pid in processes.items()}
    await asyncio.sleep(after)
    while True:
        for name, pid in processes.items():
            found.memory.setdefault(name, []).append(_megabytes(pid))
        await asyncio.sleep(0.5)


def _megabytes(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / 2**20
