"""Which frames are shown, and in which order blocks follow each other."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.mcvd.config import MCVDConfig
from models.mcvd.tasks import Task, blocks_of, in_order, next_shown, past_shown, shown_frames, wanted

CONFIG = MCVDConfig.preset("tiny")
SMALL = replace(CONFIG, resolution=2, multipliers=(1,), channels=2)


def film(config: MCVDConfig, numbers: list[float]) -> Tensor:
    """Frames that show their number; colour c of frame n is n + c / 10."""
    colours = torch.arange(config.channels) / 10.0
    values = (torch.tensor(numbers)[:, None] + colours).flatten()
    return values[:, None, None].expand(-1, config.resolution, config.resolution)


def numbers(config: MCVDConfig, frames: Tensor) -> list[float]:
    return [round(float(v), 4) for v in frames[:: config.channels, 0, 0]]


@pytest.mark.parametrize(
    ("future", "mask_past", "mask_future", "tasks"),
    [
        (0, 0.0, 0.0, {Task.PREDICTION}),
        (0, 0.5, 0.0, {Task.PREDICTION, Task.UNCONDITIONAL}),
        (3, 0.0, 0.0, {Task.INTERPOLATION}),
        (3, 0.0, 0.5, {Task.INTERPOLATION, Task.PREDICTION}),
        (3, 0.5, 0.0, {Task.INTERPOLATION, Task.PAST}),
        (3, 0.5, 0.5, set(Task)),
    ],
)
def test_what_training_hid_can_be_asked_for(
    future: int, mask_past: float, mask_future: float, tasks: set[Task]
) -> None:
    config = replace(CONFIG, future=future, mask_past=mask_past, mask_future=mask_future)
    assert set(config.tasks) == tasks
    for task in set(Task) - tasks:
        with pytest.raises(ValueError, match=f"the model is for .*, not for {task}"):
            shown_frames(config, task)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (Task.PREDICTION, [3.0, 4.0, 5.0, 0.0, 0.0, 0.0]),
        (Task.INTERPOLATION, [3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
        (Task.PAST, [0.0, 0.0, 0.0, 6.0, 7.0, 8.0]),
        (Task.UNCONDITIONAL, [0.0] * 6),
    ],
)
def test_the_nearest_frames_are_shown(task: Task, expected: list[float]) -> None:
    before, behind = film(SMALL, [1.0, 2.0, 3.0, 4.0, 5.0]), film(SMALL, [6.0, 7.0, 8.0, 9.0])
    shown = shown_frames(SMALL, task, before, behind)
    assert shown.shape == (SMALL.shown_channels, 2, 2)
    assert numbers(SMALL, shown) == expected


@pytest.mark.parametrize(
    ("task", "before", "behind", "sentence"),
    [
        (Task.PREDICTION, None, None, "past frames are 2n x 2 x 2 numbers, not nothing"),
        (Task.PREDICTION, torch.zeros(4, 2, 2), None, "3 past frames are needed, not 2"),
        (Task.PREDICTION, torch.zeros(7, 2, 2), None, "past frames are 2n x 2 x 2 numbers, not 7x2x2"),
        (Task.PREDICTION, torch.zeros(6, 2, 3), None, "past frames are 2n x 2 x 2 numbers, not 6x2x3"),
        (Task.INTERPOLATION, torch.zeros(6, 2, 2), None, "future frames are 2n x 2 x 2 numbers, not nothing"),
        (Task.PAST, None, torch.zeros(2, 2, 2), "3 future frames are needed, not 1"),
    ],
)
def test_wrong_frames_are_refused(task: Task, before: Tensor | None, behind: Tensor | None, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        shown_frames(SMALL, task, before, behind)


def test_how_many_blocks() -> None:
    assert [blocks_of(SMALL, Task.PREDICTION, total) for total in (1, 3, 4, 9)] == [1, 1, 2, 3]
    assert blocks_of(SMALL, Task.INTERPOLATION, 3) == 1
    with pytest.raises(ValueError, match="3 frames fit between those given, not 4"):
        blocks_of(SMALL, Task.INTERPOLATION, 4)
    with pytest.raises(ValueError, match="at least one frame is to be made, not 0"):
        blocks_of(SMALL, Task.PREDICTION, 0)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 5), st.integers(1, 14), st.sampled_from(list(Task)))
def test_blocks_continue_the_film(frames: int, past: int, future: int, total: int, task: Task) -> None:
    """A network that makes the frames of a known film is always shown its neighbours."""
    config = replace(SMALL, frames=frames, past=past, future=future)
    if task not in config.tasks or (task is Task.INTERPOLATION and total != frames):
        return
    before = [-float(n) for n in range(past, 0, -1)]
    behind = [float(total + n) for n in range(future)]
    film_before, film_behind = film(config, before), film(config, behind)
    shown = shown_frames(config, task, film_before, film_behind)
    made: list[Tensor] = []
    for block in range(blocks_of(config, task, total)):
        start = total - (block + 1) * frames if task is Task.PAST else block * frames
        before_here = [float(n) for n in range(start - past, start)]
        behind_here = [float(n) for n in range(start + frames, start + frames + future)]
        if task is Task.PAST:
            assert numbers(config, shown) == [0.0] * past + behind_here
        elif task is Task.PREDICTION:
            assert numbers(config, shown) == before_here + [0.0] * future
        elif task is Task.UNCONDITIONAL:
            assert numbers(config, shown) == [max(n, 0.0) for n in before_here] + [0.0] * future
        else:
            assert numbers(config, shown) == before_here + behind_here
        made.append(film(config, [float(n) for n in range(start, start + frames)]))
        shown = next_shown(config, task, shown, made[-1])
    whole = torch.cat(in_order(task, made))[wanted(task, total * config.channels)]
    assert numbers(config, whole) == [float(n) for n in range(total)]


def test_when_past_frames_are_frames() -> None:
    seen = {task: [past_shown(task, block) for block in (0, 1)] for task in Task}
    assert seen == {
        Task.PREDICTION: [True, True],
        Task.INTERPOLATION: [True, True],
        Task.PAST: [False, False],
        Task.UNCONDITIONAL: [False, True],
    }
