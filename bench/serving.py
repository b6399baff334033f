"""Over HTTP: step batching, one at a time in the same server, a bare loop per request, and the bare loop's ceiling."""

import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import httpx
import torch

from bench.bare import BareLoop
from bench.clients import closed_loop
from bench.context import Context
from bench.models import load, small_checkpoint
from bench.results import Table, percentile, spread
from bench.server import MODES
from models.maskgit.decoder import MaskGITDecoder

TITLE = "Serving over HTTP"
STEPS, CLIENTS, BATCHES = 12, (1, 4, 16), (8, 16, 32)
BODY: dict[str, object] = {"num_inference_steps": STEPS, "guidance_scale": 1.0, "reuse": 0}
NAMES = {
    "batched": "step batching",
    "single": "one at a time, same server",
    "bare": "plain loop per request, same HTTP",
}
Cell = tuple[str, int]


def run(context: Context) -> None:
    rates: dict[Cell, list[float]] = defaultdict(list)
    p50: dict[Cell, list[float]] = defaultdict(list)
    p95: dict[Cell, list[float]] = defaultdict(list)
    ceilings: dict[str, list[float]] = defaultdict(list)
    with small_checkpoint(context.checkpoint) as directory, ExitStack() as stack:
        urls = {mode: stack.enter_context(server(context, mode, directory)) for mode in MODES}
        decoder = load(directory, context.device, context.dtype)
        classes = decoder.config.num_classes
        for url in urls.values():
            closed_loop(url, BODY, classes, 2, 0.5)  # loads the checkpoint
        first = [_one(urls["batched"]) for _ in range(context.repeats)]
        for _ in range(context.repeats):
            for clients in CLIENTS[:2] if context.quick else CLIENTS:
                for mode, url in urls.items():
                    seen = closed_loop(url, BODY, classes, clients, context.seconds)
                    cell = (mode, clients)
                    rates[cell].append(seen.per_second)
                    p50[cell].append(1000 * percentile(seen.latencies, 0.5))
                    p95[cell].append(1000 * percentile(seen.latencies, 0.95))
                    context.say(f"  {mode} {clients}: {seen.per_second:.2f}/s")
            for name, rate in ceiling(context, decoder).items():
                ceilings[name].append(rate)
    table = Table(
        f"Requests of one 32x32 image, {STEPS} steps",
        ["server", "clients", "requests/s", "p50, ms", "p95, ms", "of the ceiling, %", "p95 / one at a time"],
        note="Closed loop. The ceiling is the plain loop without HTTP at its best batch size (below), same minutes.",
    )
    for (mode, clients), values in rates.items():
        shares = [100 * a / b for a, b in zip(values, ceilings["plain loop"], strict=True)]
        tails = [a / b for a, b in zip(p95[mode, clients], p95["single", clients], strict=True)]
        cell = (mode, clients)
        table.rows.append(
            [NAMES[mode], clients, *map(spread, (values, p50[cell], p95[cell], shares, tails))],
        )
    context.add(table)
    table = Table(
        f"Ceilings, images per second, best of batches {', '.join(map(str, BATCHES))}",
        ["loop", "images/s"],
        note="Network and tokenizer in this process, no server. `forwards only` samples nothing.",
    )
    table.rows += [[name, spread(values)] for name, values in ceilings.items()]
    context.add(table)
    table = Table(f"One image from an idle, loaded server, {STEPS} steps", ["ms"])
    table.rows.append([spread([1000 * seconds for seconds in first])])
    context.add(table)


def _one(url: str) -> float:
    time.sleep(0.3)
    start = time.perf_counter()
    httpx.post(f"{url}/v1/images/generations", json={**BODY, "prompt": "1"}, timeout=60).raise_for_status()
    return time.perf_counter() - start


def ceiling(context: Context, decoder: MaskGITDecoder) -> dict[str, float]:
    """Images per second of the two bare loops at their best batch size."""
    loop = BareLoop(decoder)
    best: dict[str, float] = {}
    for size in (2,) if context.quick else BATCHES:
        labels = torch.arange(size, device=decoder.device) % decoder.config.num_classes
        for name, act in (("plain loop", loop.generate), ("forwards only", loop.forwards)):
            once = partial(act, labels, STEPS)
            seconds = min(context.timed(once) for _ in range(1 if context.quick else 2))
            best[name] = max(best.get(name, 0.0), size / seconds)
    return best


@contextmanager
def server(context: Context, mode: str, directory: Path) -> Iterator[str]:
    """A server process; yields its URL."""
    options = ["--device", context.device, "--dtype", context.dtype, "--threads", str(context.threads)]
    command = [sys.executable, "-m", "bench.server", "--mode", mode, "--models", str(directory), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            if not url:
                raise RuntimeError(f"the {mode} server did not start")
            yield url
        finally:
            process.terminate()
