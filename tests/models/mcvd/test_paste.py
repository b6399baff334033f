"""Pixels that are known beforehand end as they were given, and tell the others nothing of the batch."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.decoding.noise import sequence_key
from models.mcvd.clip import Clip
from models.mcvd.config import MCVDConfig
from models.mcvd.network import MCVD
from models.mcvd.paste import Known, paste
from models.mcvd.samplers import Sampler
from models.mcvd.stepper import ClipStepper
from models.mcvd.tasks import Task
from tests.models.mcvd.build import random_network

CONFIG = replace(MCVDConfig.preset("tiny"), channels=2)
SIDE = CONFIG.resolution
SAMPLERS = [Sampler("ddpm", 3), Sampler("ddim", 3), Sampler.official("ddpm", 3)]


@pytest.fixture(scope="module")
def plain() -> MCVD:
    return random_network(CONFIG)


def clip(task: Task, sampler: Sampler, total: int, known: Known | None) -> Clip:
    torch.manual_seed(1)
    past, future = torch.rand(2, CONFIG.past_channels, SIDE, SIDE)
    return Clip.begin(CONFIG, sequence_key(4, 0), task, sampler, total, past, future, known)


def some(total: int, share: float) -> Known:
    torch.manual_seed(2)
    shape = (total * CONFIG.channels, SIDE, SIDE)
    return Known(torch.rand(shape) * 2.0 - 1.0, torch.rand(shape) < share)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("task", [Task.PREDICTION, Task.PAST, Task.UNCONDITIONAL])
def test_known_pixels_stay(plain: MCVD, task: Task, sampler: Sampler) -> None:
    """In blocks that are cut at either end, too."""
    known = some(5, 0.4)
    made = clip(task, sampler, 5, known)
    ClipStepper(plain).run([made])
    assert torch.equal(made.frames[known.mask], known.values[known.mask])
    assert not torch.equal(made.frames[~known.mask], known.values[~known.mask])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_is_known_changes_the_rest(plain: MCVD, sampler: Sampler) -> None:
    total, free = 3, clip(Task.PREDICTION, sampler, 3, None)
    nothing, half = (clip(Task.PREDICTION, sampler, total, some(total, share)) for share in (0.0, 0.5))
    ClipStepper(plain).run([free, nothing, half])
    assert torch.equal(nothing.frames, free.frames)
    unknown = ~some(total, 0.5).mask
    assert not torch.isclose(half.frames[unknown], free.frames[unknown]).all()


def test_a_frame_is_pasted_at_its_noise_level() -> None:
    x, values, draw = torch.randn(3, 4, 2, 2).unbind()
    mask = torch.zeros(4, 2, 2, dtype=torch.bool)
    mask[1:2] = True
    found = paste(x, Known(values, mask), torch.tensor(0.64), draw)
    torch.testing.assert_close(found[1], 0.8 * values[1] + 0.6 * draw[1])
    assert torch.equal(found[[0, 2, 3]], x[[0, 2, 3]])


def frame_of(part: Known) -> list[Tensor]:
    return [frame.any() for frame in part.mask]


@pytest.mark.parametrize(
    ("task", "wanted"), [(Task.PREDICTION, [[0, 1, 2], [3, 4, None]]), (Task.PAST, [[2, 3, 4], [None, 0, 1]])]
)
def test_blocks_get_their_own_part(task: Task, wanted: list[list[int | None]]) -> None:
    config = replace(CONFIG, channels=1)
    numbers = torch.arange(5.0)[:, None, None].expand(-1, SIDE, SIDE)
    known = Known(numbers, torch.ones_like(numbers, dtype=torch.bool))
    for index, frames in enumerate(wanted):
        part = known.block(config, task, index, 5)
        for at, frame in enumerate(frames):
            assert part.mask[at].all() if frame is not None else not part.mask[at].any()
            assert part.values[at, 0, 0] == (frame or 0)


def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match="known pixels are those of 4 frames, not of 3"):
        clip(Task.PREDICTION, SAMPLERS[0], 4, some(3, 0.5))
