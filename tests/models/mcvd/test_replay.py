"""Whole trajectories of the published samplers: alone, together, and at different calls of the same batch."""

import pytest
import torch

from models.mcvd.clip import Clip
from models.mcvd.diffusion import Levels
from models.mcvd.network import MCVD
from models.mcvd.samplers import SamplerTables, advance, estimate
from models.mcvd.stepper import ClipStepper
from tests.models.mcvd.build import recorded
from tests.models.mcvd.replay import (
    LONG,
    TRAJECTORIES,
    RecordedNoise,
    recorded_clips,
    recorded_long,
    sampler_of,
    tolerance,
)


@pytest.mark.parametrize(("name", "group"), TRAJECTORIES)
def test_the_sampler_without_the_network(name: str, group: str, networks: dict[str, MCVD]) -> None:
    io, sampler = recorded(name, group), sampler_of(name, group)
    tables = SamplerTables(Levels.of(networks[name].config))
    rows = tables.rows(sampler)
    assert tables.labels[list(rows)].tolist() == io["labels"].tolist()
    wanted = [*io["x_in"][1:], io["final"]]
    for call, (x, noise, after) in enumerate(zip(io["x_in"], io["eps"], wanted, strict=True)):
        c = tables.coefficients(torch.tensor([rows[call]]))
        added = io["noise"][call] if "noise" in io and call < len(io["noise"]) else torch.zeros_like(x)
        found = advance(c, x, noise, estimate(c, x, noise), added)
        scale = max(1.0, float(after.abs().max()))
        torch.testing.assert_close(found, after, atol=2e-6 * scale, rtol=0)


@pytest.mark.parametrize(("name", "group"), TRAJECTORIES)
def test_every_call(name: str, group: str, networks: dict[str, MCVD]) -> None:
    io, noise = recorded(name, group), RecordedNoise([], [])
    stepper = ClipStepper(networks[name], noise)
    clips = recorded_clips(networks[name], noise, name, group)
    stepper.begin(clips)
    for wanted in io["x_in"]:
        found = torch.stack([clip.block.x for clip in clips if clip.block is not None])
        torch.testing.assert_close(found, wanted, atol=tolerance(group, wanted), rtol=0)
        stepper.step(clips)
    found = torch.stack([clip.frames for clip in clips])
    torch.testing.assert_close(found, io["final"], atol=tolerance(group, io["final"]), rtol=0)


@pytest.mark.parametrize(("name", "group"), LONG)
def test_every_block(name: str, group: str, networks: dict[str, MCVD]) -> None:
    """Each from the frames that were recorded, so that rounding has one block to grow in."""
    io, noise = recorded(name, group), RecordedNoise([], [])
    stepper, config = ClipStepper(networks[name], noise), networks[name].config
    clip = recorded_long(networks[name], noise, name, group)
    video = io["video_raw"][0]
    for at, shown in enumerate(io["conds"][:, 0]):
        torch.testing.assert_close(clip.shown, shown, atol=1e-4, rtol=0)
        clip.shown = shown
        made = len(clip.made)
        stepper.begin([clip])
        while len(clip.made) == made:
            stepper.step([clip])
        wanted = video[at * config.block_channels : (at + 1) * config.block_channels]
        torch.testing.assert_close(clip.made[-1][: len(wanted)], wanted, atol=1e-4, rtol=0)
    torch.testing.assert_close(clip.frames, video, atol=1e-4, rtol=0)
    torch.testing.assert_close(((clip.frames + 1) / 2).clamp(0, 1), io["video_01"][0], atol=1e-4, rtol=0)


@pytest.mark.parametrize(("name", "group", "bound"), [("concat", "long7", 1e-4), ("spade", "long8_uncond", 5e-3)])
def test_whole_clips(name: str, group: str, bound: float, networks: dict[str, MCVD]) -> None:
    io, noise = recorded(name, group), RecordedNoise([], [])
    clip = recorded_long(networks[name], noise, name, group)
    ClipStepper(networks[name], noise).run([clip])
    torch.testing.assert_close(clip.frames, io["video_raw"][0], atol=bound, rtol=0)


@pytest.mark.parametrize("ahead", [0, 1, 4])
def test_all_in_one_batch(name: str, ahead: int, network: MCVD) -> None:
    """Every trajectory and long clip of a network, some of them ahead of others."""
    noise = RecordedNoise([], [])
    stepper = ClipStepper(network, noise)
    clips: list[Clip] = []
    wanted = []
    for owner, group in TRAJECTORIES:
        if owner == name:
            clips += recorded_clips(network, noise, name, group)
            wanted += [(group, final) for final in recorded(name, group)["final"]]
    for owner, group in LONG:
        if owner == name:
            clips.append(recorded_long(network, noise, name, group))
            wanted.append((group, recorded(name, group)["video_raw"][0]))
    stepper.begin(clips[::2])
    for _ in range(ahead):
        stepper.step(clips[::2])
    stepper.run(clips)
    for clip, (group, final) in zip(clips, wanted, strict=True):
        bound = 5e-3 if group == "long8_uncond" else tolerance(group, final)
        torch.testing.assert_close(clip.frames, final, atol=bound, rtol=0)
