"""kill -9 of workers, many times, while many requests run; then count.

How far the requests were when their worker died, what was lost, what came twice, which bytes differ from an undisturbed
run in one process, and how soon requests went on.
"""

import base64
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import redis
import torch
from rich.console import Console
from rich.progress import Progress

from service.engine.saved import Saved
from service.packed import unpack
from tests.chaos.team import MODELS, Team, team

SEEDS = 25
STEPS, SAMPLES = 40, 2
CLIENTS = 6
TENTHS = 10


@dataclass
class Found:
    """What was seen."""

    progress: list[float] = field(default_factory=list)  # of requests at their worker's death, 0 to 1
    recovery: list[float] = field(default_factory=list)  # seconds from a death to the next attempt's begin
    saved: set[str] = field(default_factory=set)  # requests that must resume: all saved after a step, not all published
    answers: "list[tuple[int, dict[str, Any]]]" = field(default_factory=list)


def body(job: int) -> dict[str, Any]:
    seed = job % SEEDS
    return {"prompt": str(seed % 10), "n": SAMPLES, "num_inference_steps": STEPS, "seed": seed}


def expected() -> dict[int, list[str]]:
    """Seed -> digests of the PNGs' pixels, from one process that nobody disturbs."""
    from service import load

    torch.set_num_threads(1)
    found = {}
    with load(MODELS / "maskgit-fashion", threads=1) as model:
        for seed in range(SEEDS):
            asked = body(seed)
            images = model.generate(asked["prompt"], SAMPLES, seed, progress=False, num_inference_steps=STEPS)
            found[seed] = [sha256(image.tobytes()).hexdigest() for image in images]
    return found


def digests(answer: dict[str, Any]) -> list[str]:
    from io import BytesIO

    from PIL import Image

    pictures = (Image.open(BytesIO(base64.b64decode(one["b64_json"]))) for one in answer["data"])
    return [sha256(picture.tobytes()).hexdigest() for picture in pictures]


class Killer(threading.Thread):
    """Kills a worker that has requests under way, and starts another, until it has killed enough."""

    def __init__(self, members: Team, kills: int, found: Found, tell: "Any") -> None:
        super().__init__(daemon=True)
        self.members, self.kills, self.found, self.tell = members, kills, found, tell
        self.lots, self.stop = random.Random(7), threading.Event()

    def run(self) -> None:
        with redis.Redis.from_url(self.members.server.url) as client:
            for _ in range(self.kills):
                target = self.lots.uniform(0.02, 0.98)
                while not (victim := self._busy(client, target)):
                    if self.stop.wait(0.01):
                        return
                pid, progress = victim
                worker = next(worker for worker in self.members.workers if worker.pid == pid)
                self.members.kill(worker)
                died = time.monotonic()
                self.found.progress += progress.values()
                ids = [key.rpartition(b":")[2].decode() for key in progress]
                self.found.saved |= {id for id in ids if _must_resume(client, id)}
                watch = threading.Thread(target=self._recovered, args=(set(progress), str(pid), died), daemon=True)
                watch.start()
                self.members.start_worker()
                watch.join()
                self.tell()

    def _busy(self, client: "redis.Redis", target: float) -> tuple[int, dict[bytes, float]] | None:
        """A worker with a request that has just passed the share `target` of its steps, and how far each is."""
        by: dict[int, dict[bytes, float]] = {}
        for key in client.scan_iter("maskserve:job:*", count=1000):
            worker, step, over = client.hmget(key, "worker", "step", "over")
            if worker and not over:
                by.setdefault(int(worker.rsplit(b":", 1)[1]), {})[key] = int(step or 0) / STEPS
        living = {worker.pid for worker in self.members.workers}
        busy = [
            (pid, jobs)
            for pid, jobs in by.items()
            if pid in living and any(target <= p < min(1.0, target + 0.2) for p in jobs.values())
        ]
        return self.lots.choice(busy) if busy else None

    def _recovered(self, jobs: set[bytes], pid: str, died: float) -> None:
        with redis.Redis.from_url(self.members.server.url) as client:
            for key in jobs:
                while time.monotonic() - died < 60:
                    worker, over = client.hmget(key, "worker", "over")
                    if over or worker is None or not worker.endswith(f":{pid}".encode()):
                        self.found.recovery.append(time.monotonic() - died)
                        break
                    time.sleep(0.01)


def _must_resume(client: "redis.Redis", id: str) -> bool:
    """Every sample is saved behind its first step, and one at least was not published before its worker died."""
    steps = [Saved.unpack(state).step for state in client.hvals(f"maskserve:states:{id}")]
    made = sum(not field.endswith(b"@") for field in client.hkeys(f"maskserve:made:{id}:1"))
    return len(steps) == SAMPLES and min(steps) > 0 and made < SAMPLES


def twice(members: Team) -> int:
    """Results and ends that a stream holds more than once."""
    extra = 0
    with redis.Redis.from_url(members.server.url) as client:
        for key in client.scan_iter("maskserve:events:*", count=1000):
            counted: Counter[object] = Counter()
            for _, entry in client.xrange(key):
                event = unpack(entry[b"event"])
                if event["event"] in ("SampleDone", "Done", "Failed"):
                    counted[event["event"], event.get("report", {}).get("sample")] += 1
            extra += sum(count - 1 for count in counted.values())
    return extra


def kills(console: Console, jobs: int, deaths: int) -> bool:
    """Print what was found; whether all is as it should be."""
    found = Found()
    console.print("an undisturbed run, to compare with ...")
    right = expected()
    with TemporaryDirectory() as place, team(Path(place), workers=2, appendonly=True) as members:
        with Progress(console=console) as bars, ThreadPoolExecutor(CLIENTS) as pool:
            asked = bars.add_task("requests", total=jobs)
            killed = bars.add_task("kills", total=deaths)
            killer = Killer(members, deaths, found, lambda: bars.advance(killed))
            killer.start()

            def ask(job: int) -> None:
                answer = members.ask(timeout=600, **body(job))
                about = {"status": answer.status_code, "id": answer.headers["x-request-id"]}
                found.answers.append((job, answer.json() | about))
                bars.advance(asked)

            list(pool.map(ask, range(jobs)))
            killer.stop.set()
            killer.join()
        return verdict(console, jobs, found, right, twice(members))


def verdict(console: Console, jobs: int, found: Found, right: dict[int, list[str]], doubles: int) -> bool:
    good = [(job, answer) for job, answer in found.answers if answer["status"] == 200]
    differing = sum(digests(answer) != right[job % SEEDS] for job, answer in good)
    resumed = {answer["id"] for _, answer in good if any(one["resumed_from_step"] > 0 for one in answer["data"])}
    over = len(found.saved - resumed)
    between = sum(0 < share < 1 for share in found.progress)
    console.print(f"requests under way at a worker's death: {len(found.progress)}, {between} of them between two steps")
    bars = Counter(min(TENTHS - 1, int(share * TENTHS)) for share in found.progress)
    for tenth in range(TENTHS):
        console.print(f"  {10 * tenth:3}-{10 * tenth + 10:3} % done  {'#' * bars[tenth]} {bars[tenth]}")
    slow = max(found.recovery, default=0.0)
    middle = sorted(found.recovery)[len(found.recovery) // 2] if found.recovery else 0.0
    console.print(f"went on after {middle:.1f} s (median), {slow:.1f} s at most")
    console.print(f"lost: {jobs - len(good)}; published twice: {doubles}; other bytes: {differing}")
    for _, answer in found.answers:
        if answer["status"] != 200:
            console.print(f"  {answer['id']}: {answer['status']} {answer.get('error')}")
    saved = (
        f"{len(found.saved)} requests were killed with all samples saved after a step, and not all of them published"
    )
    console.print(f"{saved}, {over} of them started over; {len(resumed)} requests resumed in all")
    return len(good) == jobs and not doubles and not differing and not over
