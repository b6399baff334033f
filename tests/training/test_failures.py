"""How runs end early: saved, explained, and never with a broken state kept."""

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from training.failures import Stopped, TrainingFailed
from training.objectives.task import Loss, StepContext
from training.settings import TrainSettings
from training.trainer import STATE, Trainer

SETTINGS = TrainSettings(steps=20, batch=4, lr=0.1, warmup=1, bf16=False, log_every=1, save_every=4, sample_every=100)


class Line:
    """A line fitted to a number; `at` is the step where `act` happens."""

    parts: tuple[str, ...] = ("line",)
    undecayed: tuple[str, ...] = ()
    count = 16

    def __init__(self, at: int = -1, act: str = "") -> None:
        torch.manual_seed(0)
        self.modules = nn.ModuleDict({"line": nn.Linear(1, 1)})
        self.at, self.act = at, act

    def fetch(self, rows: Tensor, mine: slice) -> tuple[Tensor, ...]:
        return ()

    def compile(self) -> None: ...

    def losses(self, context: StepContext) -> Iterator[Loss]:
        loss = self.modules["line"](torch.ones(1, 1)).square().mean()
        if context.step == self.at:
            match self.act:
                case "nan":
                    loss = loss * torch.nan
                case "memory":
                    raise torch.OutOfMemoryError("out of memory")
                case "disk":
                    raise OSError(errno.ENOSPC, "No space left on device")
                case _:
                    os.kill(os.getpid(), getattr(signal, self.act))
        yield Loss("line", loss, {"line": loss})

    def after_step(self, context: StepContext) -> dict[str, float]:
        return {}

    def picture(self, network: nn.Module) -> Tensor:
        return torch.zeros(1, 2, 2, dtype=torch.uint8)


def trainer(task: Line, place: Path) -> Trainer:
    return Trainer(task, SETTINGS, place, Accelerator(cpu=True), "generator")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_saves_the_step_and_the_run_goes_on_to_the_same_weights(tmp_path: Path, name: str) -> None:
    whole = trainer(Line(), tmp_path / "whole")
    whole.run()
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped, match="after step 7, which is saved") as stopped:
        trainer(Line(6, name), tmp_path / "parts").run()
    assert stopped.value.step == 7 and signal.getsignal(signal.SIGTERM) is before
    again = trainer(Line(), tmp_path / "parts")
    assert again.resume() and again.step == 7
    again.run()
    for one, other in zip(whole.ema.network.parameters(), again.ema.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_loss_that_is_not_finite_is_never_saved(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match=r"not finite at step 8: .*--set generator\.train\.lr=0\.05"):
        trainer(Line(7, "nan"), tmp_path).run()
    state = torch.load(tmp_path / STATE, weights_only=True)
    assert state["step"] == 4 and all(value.isfinite().all() for value in state["modules"].values())


@pytest.mark.parametrize(
    ("act", "says"), [("memory", r"--set generator\.train\.batch"), ("disk", "disk of .* is full")]
)
def test_what_is_missing_is_said_in_one_line(tmp_path: Path, act: str, says: str) -> None:
    with pytest.raises(TrainingFailed, match=says) as failed:
        trainer(Line(5, act), tmp_path).run()
    assert "\n" not in str(failed.value)
    assert torch.load(tmp_path / STATE, weights_only=True)["step"] == 4
