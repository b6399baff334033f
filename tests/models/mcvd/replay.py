"""Replays the recorded trajectories through the stepper."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.decoding.noise import sequence_key
from models.mcvd.clip import Clip
from models.mcvd.network import MCVD
from models.mcvd.noise import START
from models.mcvd.samplers import Sampler
from models.mcvd.tasks import Task
from tests.models.mcvd.build import NAMES, described, recorded

TRAJECTORIES = [(name, group) for name in NAMES for group in described(name)["trajectories"]]
LONG = [(name, group) for name in NAMES for group in described(name)["long_generation"]]
TASKS = {
    "ddpm10_interp": Task.INTERPOLATION,
    "ddim10_past": Task.PAST,
    "long8_uncond": Task.UNCONDITIONAL,
}  # others predict


@dataclass
class RecordedNoise:
    """starts [B, blocks, K, S, S], added [B, blocks, calls, K, S, S]; the row of a clip is its seed."""

    starts: list[Tensor]
    added: list[Tensor]

    def normal(self, key: Tensor, block: Tensor, call: Tensor, shape: tuple[int, int, int]) -> Tensor:
        rows = {sequence_key(row, 0): row for row in range(len(self.starts))}
        return torch.stack(
            [
                self.starts[rows[k]][b] if c == START else self.added[rows[k]][b, c - 1]
                for k, b, c in zip(key.tolist(), block.tolist(), call.tolist(), strict=True)
            ]
        )

    def add(self, starts: Tensor, added: Tensor) -> int:
        """The key of one more row."""
        self.starts.append(starts)
        self.added.append(added)
        return sequence_key(len(self.starts) - 1, 0)


def sampler_of(name: str, group: str) -> Sampler:
    said = described(name)
    options: dict[str, Any] = {**said["trajectories"], **said["long_generation"]}[group]
    return Sampler.official(
        "ddpm" if options["sampler"] == "ddpm_sampler" else "ddim",
        options["subsample_steps"],
        options["denoise"],
        options["clip_before"],
        options.get("just_beta", False),
    )


def recorded_clips(network: MCVD, noise: RecordedNoise, name: str, group: str) -> list[Clip]:
    """The rows of a trajectory, as clips of one block; their frames come in by the task's own way."""
    io, config = recorded(name, group), network.config
    task = TASKS.get(group, Task.PREDICTION)
    clips = []
    for row, cond in enumerate(io["cond"]):
        nothing = io["x_init"].new_zeros(1, 0, *io["x_init"].shape[1:])
        key = noise.add(io["x_init"][row : row + 1], io["noise"][None, :, row] if "noise" in io else nothing)
        past, future = cond.split([config.past_channels, config.shown_channels - config.past_channels])
        sampler = sampler_of(name, group)
        clip = Clip.begin(config, key, task, sampler, config.frames, past, future)
        assert torch.equal(clip.shown, cond)
        clips.append(clip)
    return clips


def recorded_long(network: MCVD, noise: RecordedNoise, name: str, group: str) -> Clip:
    io, config = recorded(name, group), network.config
    task = TASKS.get(group, Task.PREDICTION)
    nothing = io["inits"].new_zeros(len(io["inits"]), 0, *io["inits"].shape[2:])
    key = noise.add(io["inits"][:, 0], io["noise"][:, :, 0] if "noise" in io else nothing)
    total = described(name)["long_generation"][group]["frames"]
    past = io["conds"][0, 0, : config.past_channels]
    clip = Clip.begin(config, key, task, sampler_of(name, group), total, past)
    assert torch.equal(clip.shown, io["conds"][0, 0])
    return clip


def tolerance(group: str, wanted: Tensor) -> float:
    """Absolute, of the fixture's README."""
    if "noclip" in group:
        return 1e-5 * float(wanted.abs().max())
    return 1e-5 if group.startswith("ddpm") else 1e-4
