"""Against the loop that diffusers' users write: its UNet2DModel and DDPMScheduler, at equal size and steps."""

from collections.abc import Callable
from typing import Any

import torch

from bench.context import Context
from bench.mcvd.models import random_network
from bench.results import Table, quartiles, spread
from models.mcvd.clip import Clip
from models.mcvd.config import MCVDConfig
from models.mcvd.samplers import Sampler
from models.mcvd.stepper import ClipStepper
from models.mcvd.tasks import Task

TITLE = "MCVD against diffusers' U-Net and scheduler (SMMNIST size, random weights)"
PRESET, SMALLEST = "smmnist", "tiny"
STEPS = 10
TOGETHER = (1, 4)
NOTE = (
    f"A block of {STEPS} steps for so many clips, in turn. diffusers: a UNet2DModel of the same widths, blocks, "
    "attention and channels in and out, frames shown beside the noise, in batches; its DDPMScheduler draws from one "
    "generator, ours for each clip its own. On a CPU our rows pass one at a time, so that no clip's bits depend on the "
    "others. Ratios above 1: ours is faster."
)


def run(context: Context) -> None:
    sizes = MCVDConfig.preset(SMALLEST if context.quick else PRESET)
    placed = {"device": context.device, "dtype": getattr(torch, context.dtype)}
    network, theirs = random_network(sizes).to(**placed), _unet(sizes).to(**placed)
    table = Table(
        f"{sizes.resolution} pixels: {_millions(network):.1f} M parameters, diffusers {_millions(theirs):.1f} M",
        ["clips", "ours, s", "diffusers, s", "diffusers / ours"],
        note=NOTE,
    )
    stepper, steps = ClipStepper(network, device=context.device), 2 if context.quick else STEPS
    for count in TOGETHER[:1] if context.quick else TOGETHER:
        mine, other = _ours(stepper, count, steps), _loop(theirs, sizes, count, steps)
        mine(), other()
        ours: list[float] = []
        diffusers: list[float] = []
        for _ in range(context.repeats):
            ours.append(context.timed(mine))
            diffusers.append(context.timed(other))
        ratios = quartiles(a / b for a, b in zip(diffusers, ours, strict=True))
        table.rows.append([count, spread(ours), spread(diffusers), ratios])
    context.add(table)


def _ours(stepper: ClipStepper, count: int, steps: int) -> Callable[[], None]:
    config = stepper.network.config
    past = torch.zeros(config.past_channels, config.resolution, config.resolution)
    sampler = Sampler(steps=steps)
    return lambda: stepper.run(
        [Clip.begin(config, key, Task.PREDICTION, sampler, config.frames, past) for key in range(count)]
    )


def _loop(network: Any, sizes: MCVDConfig, count: int, steps: int) -> Callable[[], None]:
    scheduler = _diffusers().DDPMScheduler(beta_start=1e-4, beta_end=0.02, clip_sample=True)
    scheduler.set_timesteps(steps)
    side = sizes.resolution
    shown = torch.zeros(count, sizes.shown_channels, side, side, device=network.device, dtype=network.dtype)

    @torch.inference_mode()
    def loop() -> None:
        generator = torch.Generator(network.device).manual_seed(0)
        x = torch.randn(
            count, sizes.block_channels, side, side, generator=generator, device=network.device, dtype=network.dtype
        )
        for t in scheduler.timesteps:
            noise = network(torch.cat([x, shown], dim=1), t).sample
            x = scheduler.step(noise, t, x, generator=generator).prev_sample

    return loop


def _unet(sizes: MCVDConfig) -> Any:
    attends = [side in sizes.attention for side in sizes.sides]
    torch.manual_seed(0)
    return (
        _diffusers()
        .UNet2DModel(
            sample_size=sizes.resolution,
            in_channels=sizes.block_channels + sizes.shown_channels,
            out_channels=sizes.block_channels,
            block_out_channels=tuple(sizes.widths),
            layers_per_block=sizes.res_blocks,
            down_block_types=tuple("AttnDownBlock2D" if yes else "DownBlock2D" for yes in attends),
            up_block_types=tuple("AttnUpBlock2D" if yes else "UpBlock2D" for yes in reversed(attends)),
            attention_head_dim=sizes.head_channels,
            norm_num_groups=8 if sizes.width >= 32 else 4,
        )
        .eval()
    )


def _diffusers() -> Any:
    import diffusers

    return diffusers


def _millions(network: torch.nn.Module) -> float:
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6
