"""`make chaos`: what becomes of requests while workers are killed, while ten times too many come, and what Redis costs.

    python -m tests.chaos --jobs 500 --kills 100 --seconds 180

Exit status 1 unless all is as it should be.
"""

import argparse
import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from tests.chaos.kills import kills
from tests.chaos.latency import latency
from tests.chaos.overload import overload
from tests.chaos.team import alone, team

PARTS = ("latency", "overload", "kills")
BOUND, SLOTS = 16, 4  # requests that wait, and that each worker has
ALLOWED_MEMORY = 1.10
ALLOWED_MS = 15.0


def cost(console: Console, pairs: int) -> bool:
    with TemporaryDirectory() as place, alone(Path(place)) as one, team(Path(place), workers=1) as two:
        found = latency(one, two, pairs)
    tenth = len(found.added) // 10
    console.print(
        f"added by Redis: {found.p50:.1f} ms between the medians of {pairs} pairs; of the pairs, "
        f"{found.added[tenth]:.1f} / {found.added[pairs // 2]:.1f} / {found.added[-tenth - 1]:.1f} ms (p10, p50, p90)"
    )
    return found.p50 <= ALLOWED_MS


def masses(console: Console, seconds: float) -> bool:
    options = ("--slots", str(SLOTS))
    with TemporaryDirectory() as place, team(Path(place), workers=0, bound=BOUND) as members:
        for _ in range(2):
            members.start_worker(*options)
        found = asyncio.run(overload(members, seconds))
    longest = (BOUND + 2 * SLOTS) / found.capacity
    console.print(
        f"ten times {found.capacity:.1f} requests/s for {seconds:.0f} s: {dict(found.statuses)}, {dict(found.codes)}"
    )
    console.print(f"  neither 200, 429 nor 503 with a Retry-After: {sum(found.unexpected.values())}")
    waits = f"{found.wait(0.5):.2f} s (p50), {found.wait(0.99):.2f} s (p99)"
    full = f"{BOUND} that wait and {2 * SLOTS} that run take {longest:.2f} s at the undisturbed pace"
    console.print(f"  accepted ones took {waits}; {full}")
    for name, values in found.memory.items():
        warm = f"{min(values):.0f} to {max(values):.0f} MB in the second half ({found.spread(name):.3f}x)"
        console.print(f"  memory of {name}: {found.begin[name]:.0f} MB at the begin, {warm}")
    flat = all(found.spread(name) <= ALLOWED_MEMORY for name in found.memory)
    return not found.unexpected and flat


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--jobs", type=int, default=500, help="requests while workers are killed")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=180.0, help="of too many requests")
    parser.add_argument("--pairs", type=int, default=200, help="of requests, to compare latencies")
    options = parser.parse_args()
    console = Console()
    good = {
        "latency": lambda: cost(console, options.pairs),
        "overload": lambda: masses(console, options.seconds),
        "kills": lambda: kills(console, options.jobs, options.kills),
    }
    return 0 if all([good[part]() for part in PARTS if part in options.only]) else 1


if __name__ == "__main__":
    raise SystemExit(main())
