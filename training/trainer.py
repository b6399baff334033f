"""The training loop: one stage of a recipe, resumable to the byte.

Randomness depends on (seed, step) alone and the whole state is written atomically, so a run that was killed and resumed
ends with the same weights as one that was not. Started by `torchrun`, processes share each batch and average gradients.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from training.ema import Ema
from training.failures import Signals, Stopped, TrainingFailed, explained, not_finite
from training.journal import Journal
from training.objectives.task import Loss, StepContext, Task
from training.pictures import save_png
from training.randomness import Batches, generator_of, seed_of
from training.settings import TrainSettings

STATE = "state.pt"


class Trainer:
    """Runs `task` for `settings.steps` steps and keeps its state in `directory`.

    `stage` names the recipe's table in error messages; `saved` is called with the averaged network after each save.
    """

    def __init__(
        self,
        task: Task,
        settings: TrainSettings,
        directory: Path,
        accelerator: Accelerator,
        stage: str = "generator",
        saved: Callable[[nn.Module], None] = lambda network: None,
    ) -> None:
        self.task, self.settings, self.directory = task, settings, directory
        self.accelerator = accelerator
        self.stage, self.saved = stage, saved
        task.modules.to(accelerator.device)
        self.ema = Ema(task.modules[task.parts[0]], settings.ema)
        self.optimisers = {
            part: torch.optim.AdamW(
                _decay_groups(task.modules[part], settings.weight_decay),
                lr=settings.lr,
                betas=settings.betas,
                fused=True,
            )
            for part in task.parts
        }
        self.step = 0

    def resume(self) -> bool:
        """Continue from the state in the directory, if there is one."""
        path = self.directory / STATE
        if not path.is_file():
            return False
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.task.modules.load_state_dict(state["modules"])
        self.ema.network.load_state_dict(state["ema"])
        for part, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][part])
        self.step = state["step"]
        return True

    def save(self) -> None:
        """Replace the state file in one step: a crash leaves the old or the new one."""
        if not self.accelerator.is_main_process:
            return
        state: dict[str, Any] = {
            "step": self.step,
            "modules": self.task.modules.state_dict(),
            "ema": self.ema.network.state_dict(),
            "optimisers": {part: o.state_dict() for part, o in self.optimisers.items()},
        }
        self.directory.mkdir(parents=True, exist_ok=True)
        new = self.directory / f"{STATE}.new"
        torch.save(state, new)
        os.replace(new, self.directory / STATE)

    def run(self, stop_at: int | None = None) -> nn.Module:
        """Train to the last step (or `stop_at`) and return the averaged network.

        Raises TrainingFailed, and Stopped after Ctrl-C or SIGTERM.
        """
        with explained(self.stage, self.directory), Signals() as signals:
            return self._run(stop_at, signals)

    def _run(self, stop_at: int | None, signals: Signals) -> nn.Module:
        s, last = self.settings, min(self.settings.steps, stop_at or self.settings.steps)
        main = self.accelerator.is_main_process
        journal = Journal(self.directory, self.step) if main else None
        batches = Batches(self.task.count, s.batch, s.seed)
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeRemainingColumn(), TextColumn("{task.fields[loss]}"),
        )  # fmt: skip
        with Progress(*columns, disable=not main, refresh_per_second=0.5) as progress:
            bar = progress.add_task(self.directory.name, total=last, completed=self.step, loss="starting")
            while self.step < last:
                scalars = self._one_step(batches)
                self.step += 1
                stop = self._anybody(signals.raised)
                save = self.step % s.save_every == 0 or self.step == last or stop
                if save or self.step % s.log_every == 0:
                    self._check(scalars)
                logs = self.step % s.log_every == 0 or self.step == last
                values = self._averaged(scalars) if logs else {}
                if journal and logs:
                    journal.write(self.step, values | {"lr": s.rate(self.step - 1)})
                    total = sum(values[n] for n in values if n.startswith("loss/"))
                    progress.update(bar, completed=self.step, loss=f"loss {total:.4f}")
                if save:
                    self.save()
                    self.saved(self.ema.network)
                    self.accelerator.wait_for_everyone()
                if stop:
                    raise Stopped(self.step, self.directory)
                if journal and (self.step % s.sample_every == 0 or self.step == last):
                    picture = self.task.picture(self.ema.network)
                    save_png(picture, self.directory / "samples" / f"{self.step:07d}.png", scale=2)
        if journal:
            journal.close()
        return self.ema.network

    def seconds_per_step(self, steps: int = 3) -> float:
        """Measured on `steps` real ones after a first; the networks have changed afterwards, nothing is saved."""
        batches = Batches(self.task.count, self.settings.batch, self.settings.seed)
        self._one_step(batches)
        start = time.perf_counter()
        for _ in range(steps):
            self.step += 1
            self._one_step(batches)
        return (time.perf_counter() - start) / steps

    def _check(self, scalars: dict[str, Any]) -> None:
        """Before anything of a broken run is kept: losses, and the weights that the step has made of them."""
        weights = self.task.modules[self.task.parts[0]].parameters()
        numbers = (*map(torch.as_tensor, scalars.values()), *weights)
        if self._anybody(not all(bool(value.isfinite().all()) for value in numbers)):
            raise TrainingFailed(not_finite(self.stage, self.step, self.settings.lr))

    def _averaged(self, scalars: dict[str, Any]) -> dict[str, float]:
        """Mean over the processes."""
        numbers = torch.tensor([float(value) for value in scalars.values()], device=self.accelerator.device)
        if self.accelerator.num_processes > 1:
            numbers = self.accelerator.reduce(numbers, "mean")
        return dict(zip(scalars, numbers.tolist(), strict=True))

    def _anybody(self, raised: bool) -> bool:
        """All processes stop when one is told to."""
        if self.accelerator.num_processes == 1:
            return raised
        flag = torch.tensor(float(raised), device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, "sum") > 0)

    def _one_step(self, batches: Batches) -> dict[str, Any]:
        s, a = self.settings, self.accelerator
        context = StepContext(
            step=self.step,
            steps=s.steps,
            rows=batches.rows(self.step),
            mine=slice(a.process_index, None, a.num_processes),
            generator=generator_of(s.seed, "step", self.step),
        )
        torch.manual_seed(seed_of(s.seed, "dropout", self.step, a.process_index))
        self.task.modules.train()
        scalars: dict[str, Any] = {}
        losses = self.task.losses(context)
        while (loss := self._next(losses.__next__)) is not None:
            self._apply(loss)
            scalars |= {f"loss/{name}": value.detach() for name, value in loss.scalars.items()}
        self.ema.update(self.task.modules[self.task.parts[0]], self.step)
        return scalars | self.task.after_step(context)

    def _next(self, advance: Callable[[], Loss]) -> Loss | None:
        device = self.accelerator.device.type
        try:
            with torch.autocast(device, torch.bfloat16, enabled=self.settings.bf16):
                return advance()
        except StopIteration:
            return None

    def _apply(self, loss: Loss) -> None:
        for optimiser in self.optimisers.values():
            optimiser.zero_grad()
        self.accelerator.backward(loss.value)
        parameters = [p for p in self.task.modules[loss.part].parameters() if p.grad is not None]
        if self.accelerator.num_processes > 1:
            _average_gradients(parameters, self.accelerator)
        nn.utils.clip_grad_norm_(parameters, self.settings.clip)
        optimiser = self.optimisers[loss.part]
        for group in optimiser.param_groups:
            group["lr"] = self.settings.rate(self.step)
        optimiser.step()


def _average_gradients(parameters: list[nn.Parameter], accelerator: Accelerator) -> None:
    flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
    mean: Tensor = accelerator.reduce(flat, "mean")
    sizes = [p.numel() for p in parameters]
    for parameter, part in zip(parameters, mean.split(sizes), strict=True):
        parameter.grad = part.view_as(parameter)


def _decay_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices and kernels decay; biases, norms and embeddings do not."""
    tables = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    decayed = [p for p in module.parameters() if p.dim() > 1 and id(p) not in tables]
    others = [p for p in module.parameters() if p.dim() <= 1 or id(p) in tables]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
