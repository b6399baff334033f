"""SPADE's maps once per block against at every call, at the published SMMNIST size."""

from collections.abc import Callable
from functools import partial
from statistics import median

import torch
from torch import Tensor

from bench.context import Context
from bench.mcvd.models import random_network
from bench.results import Table, quartiles, spread
from models.mcvd.clip import Clip
from models.mcvd.condition import Condition
from models.mcvd.config import MCVDConfig
from models.mcvd.forward import predict
from models.mcvd.network import MCVD
from models.mcvd.samplers import Sampler
from models.mcvd.stepper import ClipStepper
from models.mcvd.tasks import Task

TITLE = "MCVD: SPADE's maps kept for a block (SMMNIST size, random weights)"
PRESET, SMALLEST = "smmnist-spade", "tiny"
ROWS, STEPS = (1, 4), (10, 100)
NOTE = (
    "A network call of as many rows, in turn: with the maps computed in it, as published, and with those that the "
    "block keeps. A block of so many steps, by the stepper as it is served: its first maps count. Numbers are the same."
)


def run(context: Context) -> None:
    sizes = MCVDConfig.preset(SMALLEST if context.quick else PRESET)
    if context.quick:
        sizes = MCVDConfig.from_dict({**vars(sizes), "spade": True})
    network = random_network(sizes).to(device=context.device, dtype=getattr(torch, context.dtype))
    size = sum(p.numel() for p in network.parameters()) / 1e6
    table = Table(
        f"{sizes.resolution} pixels, {sizes.past} frames shown, {sizes.frames} made, {size:.1f} M parameters",
        ["what", "rows", "every call, s", "kept, s", "every call / kept", "MiB kept a row"],
        note=NOTE,
    )
    for rows in ROWS[:1] if context.quick else ROWS:
        _add(context, table, "a call", rows, *_calls(context, network, rows), _kept(network))
    for steps in (2,) if context.quick else STEPS:
        repeats = 1 if steps == STEPS[-1] else context.repeats
        every, kept = (
            partial(_block, kind(network, device=context.device), steps) for kind in (_Forgetful, ClipStepper)
        )
        _add(context, table, f"a block of {steps} steps", 1, every, kept, _kept(network), repeats)
    context.add(table)


def _add(
    context: Context,
    table: Table,
    what: str,
    rows: int,
    every: Callable[[], object],
    kept: Callable[[], object],
    bytes_kept: int,
    repeats: int = 0,
) -> None:
    slow: list[float] = []
    fast: list[float] = []
    every(), kept()  # the first packs and allocates
    for _ in range(repeats or 3 * context.repeats):
        slow.append(context.timed(every))
        fast.append(context.timed(kept))
    ratios = quartiles(a / b for a, b in zip(slow, fast, strict=True))
    table.rows.append([what, rows, spread(slow), spread(fast), ratios, bytes_kept / 2**20])
    context.say(f"  {what} x {rows}: {median(slow):.3f} s, {median(fast):.3f} s")


def _calls(context: Context, network: MCVD, rows: int) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    config, side = network.config, network.config.resolution
    frames = torch.randn(rows, config.shown_channels, side, side, device=context.device)
    x = torch.randn(rows, config.block_channels, side, side, device=context.device)
    t = torch.full((rows,), config.train_steps // 2, device=context.device)
    conditions = _conditions(network, frames)
    return (
        lambda: predict(network, x, t, _conditions(network, frames)),
        lambda: predict(network, x, t, conditions),
    )


@torch.inference_mode()
def _conditions(network: MCVD, frames: Tensor) -> list[Condition]:
    return [network.condition(row[None]) for row in frames]


def _kept(network: MCVD) -> int:
    config, side = network.config, network.config.resolution
    return network.condition(network.leave.weight.new_zeros(1, config.shown_channels, side, side)).nbytes


class _Forgetful(ClipStepper):
    """Computes what the network knows of the frames around a block at every call."""

    def step(self, clips: list[Clip]) -> None:  # type: ignore[override]
        for clip in clips:
            assert clip.block is not None
            if clip.block.call == 0:  # `begin` has just done it
                continue
            self.network.condition(clip.block.condition.frames, clip.block.condition.past_shown)
        super().step(clips)


def _block(stepper: ClipStepper, steps: int) -> None:
    config = stepper.network.config
    past = torch.zeros(config.past_channels, config.resolution, config.resolution)
    stepper.run([Clip.begin(config, 1, Task.PREDICTION, Sampler(steps=steps), config.frames, past)])
