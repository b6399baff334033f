"""Neighbours do not exist: every number of a clip has the same bits alone and in any mix of tasks and samplers."""

from dataclasses import dataclass, field, replace
from random import Random

import pytest
import torch
from torch import Tensor

from models.decoding.noise import sequence_key
from models.mcvd.clip import Clip
from models.mcvd.condition import Condition
from models.mcvd.config import MCVDConfig
from models.mcvd.forward import predict
from models.mcvd.network import MCVD
from models.mcvd.paste import Known
from models.mcvd.samplers import Sampler
from models.mcvd.stepper import ClipStepper
from models.mcvd.tasks import Task
from tests.models.mcvd.build import random_network

CONFIG = MCVDConfig(
    resolution=12, channels=3, frames=2, past=3, future=2, width=10, multipliers=(1, 3), res_blocks=1, attention=(12,),
    head_channels=10, dropout=0.1, spade_dim=7, mask_past=0.5, mask_future=0.5,
)  # fmt: skip
SIZES = (CONFIG.block_channels, CONFIG.resolution, CONFIG.resolution)


@dataclass
class Log:
    """Remembers what a clip was at each of its calls."""

    seen: dict[tuple[int, int, int], tuple[Tensor, Tensor]] = field(default_factory=dict)

    def note(self, clips: list[Clip]) -> None:
        for clip in clips:
            if clip.block is not None:
                self.seen[clip.key, len(clip.made), clip.block.call] = clip.block.x, clip.block.estimate


def clip_of(rng: Random, seed: int) -> Clip:
    torch.manual_seed(seed)
    task = rng.choice(list(Task))
    total = CONFIG.frames if task is Task.INTERPOLATION else rng.randint(1, 5)
    sampler = Sampler(
        kind=rng.choice(["ddpm", "ddim"]),
        steps=rng.randint(1, 6),
        clip=rng.choice([1.0, 2.5]),
        spacing=rng.choice(["even", "official"]),
        final_denoise=rng.random() < 0.3,
        full_variance=rng.random() < 0.3,
        consistent=rng.random() < 0.3,
    )
    shape = (total * CONFIG.channels, *SIZES[1:])
    known = Known(torch.rand(shape), torch.rand(shape) < 0.3) if rng.random() < 0.4 else None
    past, future = torch.rand(2, CONFIG.past_channels, *SIZES[1:]) * 2.0 - 1.0
    return Clip.begin(CONFIG, sequence_key(seed, 0), task, sampler, total, past, future, known)


def jumble(stepper: ClipStepper, waiting: list[Clip], rng: Random, log: Log) -> int:
    """To the last frame, in batches of any kind, arriving one after the other; how many steps were shared."""
    running: list[Clip] = []
    shared = 0
    while waiting or running:
        running += [waiting.pop() for _ in range(min(rng.randint(0, 3), len(waiting)))]
        if beginning := [clip for clip in running if clip.block is None]:
            stepper.begin(rng.sample(beginning, rng.randint(1, len(beginning))))
        stepping = [clip for clip in running if clip.block is not None]
        batch = rng.sample(stepping, rng.randint(0, len(stepping)))
        log.note(batch)
        if batch:
            stepper.step(batch)
        shared += len(batch) > 1
        running = [clip for clip in running if not clip.done]
    return shared


@pytest.mark.parametrize("spade", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_every_number_is_that_of_a_lone_clip(threads: int, spade: bool) -> None:
    torch.set_num_threads(threads)
    stepper = ClipStepper(random_network(replace(CONFIG, spade=spade)))
    alone, mixed = Log(), Log()
    lone = [clip_of(Random(seed), seed) for seed in range(12)]
    for clip in lone:
        jumble(stepper, [clip], Random(clip.key), alone)
    together = [clip_of(Random(seed), seed) for seed in range(12)]
    assert jumble(stepper, list(together), Random(3), mixed) > 10
    assert alone.seen.keys() == mixed.seen.keys() and len(alone.seen) > 40
    for key, (x, estimate) in alone.seen.items():
        assert torch.equal(x, mixed.seen[key][0]) and torch.equal(estimate, mixed.seen[key][1]), key
    assert all(torch.equal(one.frames, other.frames) for one, other in zip(lone, together, strict=True))


@pytest.mark.parametrize("preset", ["smmnist", "smmnist-spade"])
@pytest.mark.parametrize("threads", [1, 2])
def test_rows_of_a_published_width(threads: int, preset: str) -> None:
    """Two levels of a published network at half the side: the kernels are those that it uses."""
    torch.set_num_threads(threads)
    config = replace(MCVDConfig.preset(preset), resolution=32, multipliers=(1, 2), res_blocks=1, attention=(16,))
    network = random_network(config)
    frames = torch.rand(3, config.shown_channels, 32, 32)
    conditions = [network.condition(row[None]) for row in frames]
    x, t = torch.randn(3, config.block_channels, 32, 32), torch.tensor([0, 500, 999])
    whole = predict(network, x, t, conditions)
    for rows in ([0], [2, 1], [1, 2, 0], [2]):
        found = predict(network, x[rows], t[rows], [conditions[row] for row in rows])
        assert torch.equal(found, whole[rows])


@pytest.mark.parametrize("spade", [False, True])
def test_a_condition_is_computed_once(spade: bool) -> None:
    """Kept through the steps of a block, it is what it would be if it were computed anew."""
    network = random_network(replace(CONFIG, spade=spade, past_embedding=True))
    frames, shown = torch.rand(3, CONFIG.shown_channels, *SIZES[1:]), torch.tensor([True, False, True])
    x, t = torch.randn(3, *SIZES), torch.tensor([3, 500, 999])
    kept = [network.condition(frames[at : at + 1], shown[at : at + 1]) for at in range(3)]
    for levels in (t, t.flip(0)):
        found = predict(network, x, levels, kept)
        for at in range(3):
            fresh = network.condition(frames[at : at + 1], shown[at : at + 1])
            assert torch.equal(found[at : at + 1], network(x[at : at + 1], levels[at : at + 1], fresh))
    torch.testing.assert_close(network(x, t, Condition.stack(kept)), predict(network, x, t, kept), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        network(x, t, network.condition(frames, shown)), predict(network, x, t, kept), atol=1e-4, rtol=1e-4
    )
    assert bool(kept[0].maps) == spade


def test_the_size_of_a_condition() -> None:
    """What a decoder has to count: two maps per SPADE norm, 64 MB a clip at the published size."""
    with torch.device("meta"):
        config = MCVDConfig.preset("smmnist-spade")
        network = MCVD(config)
        condition = network.condition(torch.empty(1, config.shown_channels, 64, 64))
    assert round(condition.nbytes / 1e6) == 64 and len(condition.maps) == 57


def test_a_block_stays_float32_beside_bfloat16_weights() -> None:
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        stepper = ClipStepper(random_network(replace(CONFIG, spade=True)).to(dtype))
        clip = Clip.begin(CONFIG, 1, Task.UNCONDITIONAL, Sampler("ddim", 2), 2)
        stepper.run([clip])
        found.append(clip.frames)
    assert found[1].dtype == torch.float32
    torch.testing.assert_close(*found, atol=0.5, rtol=0.1)
    assert not torch.equal(*found)


def test_a_failing_call_changes_nothing() -> None:
    stepper = ClipStepper(random_network(CONFIG))
    clip = clip_of(Random(0), 0)
    stepper.begin([clip])
    before = clip.block

    def fail(*_: object) -> Tensor:
        raise ArithmeticError

    stepper.network.leave.register_forward_hook(fail)
    with pytest.raises(ArithmeticError):
        stepper.step([clip])
    assert clip.block is before
