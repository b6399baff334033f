"""How long a newcomer waits while long chains run, by the slice of a chain that the engine makes at a time."""

import threading
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from bench.context import Context
from bench.crowd import Crowd
from bench.drive import Driver, driver
from bench.mar.meter import ChainMeter
from bench.mar.models import WARM, large_checkpoint, small_checkpoint
from bench.results import Table, quartiles, spread, tail
from models.decoder import Kind
from models.decoding.plan import Plan
from models.spec import Sampling
from service.engine.batch import StepRecord
from service.engine.events import Failed, Progress, Terminal
from service.engine.mailbox import Mailbox
from service.engine.policy import Policy

TITLE = "MAR: what a newcomer waits for while long chains run"
RUNNING = (4, 7)
TICKS = (0.02, 0.05, 0.1, 0.2)  # seconds
WHOLE = 3600.0  # a tick that never ends before a chain does
TOKENS, CHAIN = 64, 100
NEWCOMERS, FEW = 15, 6  # per tick and repeat; of the large network
NOTE = (
    "Milliseconds from submission, `p50 / p90 / max`: until the batch of the newcomer's first step begins, until it is "
    "committed, and until the client hears of the first tokens (the whole chain of that step). Newcomers ask for what "
    "the checkpoint does by default, come at random moments, one at a time, and leave after their first step. Work: "
    "rows of the head times reverse steps per second while no newcomer is there. Policies take turns; each has an "
    "engine of its own. A single forward may exceed its tick."
)


@dataclass(frozen=True)
class Wait:
    """Seconds since the submission."""

    began: float
    stepped: float
    heard: float


@dataclass
class Found:
    waits: list[Wait] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)


def run(context: Context) -> None:
    repeats = min(3, context.repeats)
    with small_checkpoint(context.checkpoint) as directory:
        for running in RUNNING[:1] if context.quick else RUNNING:
            _measure(context, directory, running, repeats, 2 if context.quick else NEWCOMERS)
    if context.full:
        with large_checkpoint(context.quick) as directory:
            _measure(context, directory, RUNNING[0], 1, 2 if context.quick else FEW)


def _measure(context: Context, directory: Path, running: int, repeats: int, newcomers: int) -> None:
    found: dict[float, Found] = defaultdict(Found)
    with ExitStack() as stack:
        stands: dict[float, Stand] = {}
        for tick in (TICKS[0], WHOLE) if context.quick else (*TICKS, WHOLE):
            policy = replace(Policy.for_device(context.device), tick_seconds=tick)
            loop = stack.enter_context(driver(context, directory, policy, WARM))
            stands[tick] = Stand(loop, 10 if context.quick else CHAIN)
        any_stand = stands[WHOLE]
        lone = any_stand.lone()
        for turn in range(repeats):
            for tick, stand in stands.items():
                stand.measure(found[tick], running, newcomers, lone, max(context.seconds, 2 * running * lone), turn)
                context.say(f"  tick {tick}: {found[tick].waits[-1]}, {found[tick].rates[-1]:.0f} row steps/s")
        model, tokens, chain = any_stand.loop.model, any_stand.plan.reveals[0], any_stand.sampling.diffusion_steps
    table = Table(
        f"{model}: {running} requests run, {tokens} tokens per step, chains of {chain}",
        [
            "tick", "step begins", "step committed", "first tokens", "begins within a tick, %", "work of those running",
            "of whole chains, %",
        ],
        note=NOTE,
    )  # fmt: skip
    for tick, one in found.items():
        ways = ([w.began for w in one.waits], [w.stepped for w in one.waits], [w.heard for w in one.waits])
        within = 100.0 * sum(wait.began <= tick for wait in one.waits) / len(one.waits)
        table.rows.append(
            [
                "whole chains" if tick == WHOLE else f"{1000 * tick:.0f} ms",
                *(tail(1000 * seconds for seconds in way) for way in ways),
                "" if tick == WHOLE else within,
                spread(one.rates),
                quartiles(100 * a / b for a, b in zip(one.rates, found[WHOLE].rates, strict=True)),
            ]
        )
    context.add(table)


class Stand:
    """One engine and its policy; what its crowd asks for, and what newcomers do."""

    def __init__(self, loop: Driver, chain: int) -> None:
        self.loop = loop
        decoder = loop.engine.decoders[loop.model]
        length = decoder.spec.length
        self.newcomer: Sampling = decoder.spec.sampling
        self.sampling = replace(self.newcomer, reuse=0, diffusion_steps=chain)
        self.plan = Plan(((min(TOKENS, length),),) * max(1, length // TOKENS))
        self.meter = ChainMeter(loop.engine)
        self.records: list[StepRecord] = loop.watch()

    def lone(self) -> float:
        """Seconds of one step of the crowd's, alone."""
        with Crowd(self.loop, self.sampling, 1, 0.0, 0, self.plan) as crowd:
            return crowd.seconds(1) / self.plan.steps

    def measure(self, into: Found, running: int, newcomers: int, lone: float, window: float, seed: int) -> None:
        """The work of a crowd that is complete in `window` seconds; then that many newcomers."""
        rng, apart = Random(seed), lone * self.plan.steps
        with Crowd(self.loop, self.sampling, running, apart, seed, self.plan):
            time.sleep(apart)
            into.rates.append(self.meter.rate(window))
            for _ in range(newcomers):
                time.sleep(rng.uniform(0.0, lone * running))
                into.waits.append(self._newcomer())

    def _newcomer(self) -> Wait:
        self.records.clear()
        ready = threading.Semaphore(0)
        mailbox = Mailbox(ready.release)
        engine, heard = self.loop.engine, 0.0
        sent = engine.now()
        ticket = self.loop.send(self.newcomer, mailbox, progress=True)
        while True:
            ready.acquire()
            for event in mailbox.take():
                if isinstance(event, Progress) and not heard:
                    heard = engine.now()
                    engine.cancel(ticket)
                elif isinstance(event, Failed) and event.code != "cancelled":
                    raise RuntimeError(event.message)
                elif isinstance(event, Terminal):
                    step = next(r for r in self.records if r.kind is Kind.STEP and ticket in r.requests)
                    return Wait(step.ended - step.elapsed - sent, step.ended - sent, heard - sent)
