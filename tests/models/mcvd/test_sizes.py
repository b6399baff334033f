"""Any side, width, depth, number of frames and mix of clips agrees with one row at a time, spelled out."""

import copy
import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.mcvd.clip import Clip
from models.mcvd.config import MCVDConfig
from models.mcvd.diffusion import Levels
from models.mcvd.keys import official_names
from models.mcvd.network import MCVD
from models.mcvd.noise import START, CounterFrameNoise
from models.mcvd.stepper import ClipStepper
from models.mcvd.tasks import Task
from tests.models.mcvd.build import random_network
from tests.models.mcvd.naive import Naive
from tests.models.mcvd.sizes import clips, configs


def official(network: MCVD) -> dict[str, Tensor]:
    """As a file would hold them, in double precision."""
    names = official_names(network.config)
    state = {names(key): value.double() for key, value in network.state_dict().items()}
    return {key: value.flatten(1).T if key.endswith(".W") else value for key, value in state.items()}


@settings(max_examples=40)
@given(configs(), st.integers(1, 3), st.data())
def test_any_network_is_the_plain_form(config: MCVDConfig, rows: int, data: st.DataObject) -> None:
    network = random_network(config)
    naive = Naive(config, official(network))
    x = torch.randn(rows, config.block_channels, config.resolution, config.resolution)
    frames = torch.rand(rows, config.shown_channels, config.resolution, config.resolution) * 2.0 - 1.0
    levels = data.draw(st.lists(st.integers(0, 999), min_size=rows, max_size=rows))
    shown = data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    found = network(x, torch.tensor(levels), network.condition(frames, torch.tensor(shown)))
    for row in range(rows):
        wanted = naive(x[row], levels[row], frames[row], shown[row])
        torch.testing.assert_close(found[row].double(), wanted, atol=2e-4, rtol=2e-4)


def plainly(naive: Naive, clip: Clip) -> Tensor:
    """The frames of `clip`, by the formulas of the papers and a loop over levels."""
    config, sampler = naive.config, clip.sampler
    kept_of = Levels.of(config).kept.double().tolist()
    total, every = config.train_steps, config.train_steps // sampler.steps
    visited = (
        list(range(0, total, every))
        if sampler.spacing == "official"
        else [math.floor(total * step / sampler.steps) for step in range(sampler.steps)]
    )
    shown, blocks = clip.shown, []
    for block in range(math.ceil(clip.total / config.frames)):
        see = clip.task in (Task.PREDICTION, Task.INTERPOLATION) or (clip.task is Task.UNCONDITIONAL and block > 0)

        def draw(call: int, block: int = block) -> Tensor:
            shape = (config.block_channels, config.resolution, config.resolution)
            address = (torch.tensor([value]) for value in (clip.key, block, call))
            return CounterFrameNoise().normal(*address, shape)[0].double()

        x = draw(START)
        for step, level in enumerate(visited):
            last = step == len(visited) - 1
            kept, after = kept_of[level], 1.0 if last else kept_of[visited[step + 1]]
            noise = naive(x.float(), level, shown, see)
            x0 = ((x - math.sqrt(1.0 - kept) * noise) / math.sqrt(kept)).clamp(-sampler.clip, sampler.clip)
            if sampler.kind == "ddim":
                if sampler.consistent:
                    noise = (x - math.sqrt(kept) * x0) / math.sqrt(1.0 - kept)
                x = math.sqrt(after) * x0 + math.sqrt(1.0 - after) * noise
                continue
            beta = 1.0 - kept / after
            mean = math.sqrt(after) * beta / (1.0 - kept) * x0
            mean += math.sqrt(1.0 - beta) * (1.0 - after) / (1.0 - kept) * x
            variance = beta if sampler.full_variance else beta * (1.0 - after) / (1.0 - kept)
            x = mean if last else mean + math.sqrt(variance) * draw(1 + step)
        if sampler.final_denoise:
            x = x - math.sqrt(1.0 - kept_of[visited[-1]]) * naive(x.float(), len(visited) - 1, shown, see)
        blocks.append(x.float())
        past, future = shown[: config.past_channels], shown[config.past_channels :]
        if clip.task is Task.PAST:
            shown = torch.cat([past, torch.cat([blocks[-1], future])[: len(future)]])
        else:
            shown = torch.cat([torch.cat([past, blocks[-1]])[len(blocks[-1]) :][-len(past) :], future])
    ordered = blocks[::-1] if clip.task is Task.PAST else blocks
    film = torch.cat(ordered)
    size = clip.total * config.channels
    return film[-size:] if clip.task is Task.PAST else film[:size]


@settings(max_examples=25)
@given(configs(), st.data())
def test_any_mix_of_clips_is_the_plain_form(config: MCVDConfig, data: st.DataObject) -> None:
    """Weights are small, so that rounding does not grow along the steps."""
    network = random_network(config)
    network.leave.weight *= 0.1
    waiting = [data.draw(clips(config, seed)) for seed in range(data.draw(st.integers(1, 3)))]
    begun = copy.deepcopy(waiting)
    stepper = ClipStepper(network)
    ahead = waiting[: data.draw(st.integers(0, len(waiting)))]
    if ahead:
        stepper.begin(ahead)
        stepper.step(ahead)
    stepper.run(waiting)
    naive = Naive(config, official(network))
    for clip, start in zip(waiting, begun, strict=True):
        torch.testing.assert_close(clip.frames, plainly(naive, start), atol=1e-3, rtol=1e-3)
