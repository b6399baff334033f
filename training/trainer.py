"""The training loop: one stage of a recipe, resumable to the byte.

Randomness depends on (seed, step) alone and the whole state is written atomically, so a run that was killed and resumed
ends with the same weights as one that was not. A batch is shared by the processes that `torchrun` or `accelerate
launch` started, and by the parts of each that gradients accumulate over: the draws are those of the whole batch.
"""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from training.ema import Ema
from training.failures import Signals, Stopped, TrainingFailed, explained, not_finite
from training.journal import Journal
from training.loader import Loader
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
        shares = accelerator.num_processes * settings.accumulate
        if shares > min(settings.batch, task.count):
            raise ValueError(
                f"{stage}.train: a batch of {min(settings.batch, task.count)} cannot be shared by "
                f"{accelerator.num_processes} processes of {settings.accumulate} parts each"
            )
        task.modules.to(accelerator.device)
        self.ema = Ema(task.modules[task.parts[0]], settings.ema)
        if settings.compile:
            task.compile()
        self.optimisers = {
            part: torch.optim.AdamW(
                _decay_groups(task.modules[part], settings.weight_decay, task.undecayed),
                lr=settings.lr,
                betas=settings.betas,
                fused=True,
            )
            for part in task.parts
        }
        self.step = 0

    def resume(self) -> bool:
        """Continue from the state in the directory, if there is one. Raises TrainingFailed if it is of another task."""
        path = self.directory / STATE
        if not path.is_file():
            return False
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["modules"].keys() != self.task.modules.state_dict().keys():
            raise TrainingFailed(f"{path} was saved with another objective: use --fresh to start over")
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
        with new.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
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
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeRemainingColumn(), TextColumn("{task.fields[loss]}"),
        )  # fmt: skip
        bars = Progress(*columns, disable=not main, refresh_per_second=0.5)
        with self._loader() as loader, bars as progress:
            bar = progress.add_task(self.directory.name, total=last, completed=self.step, loss="starting")
            while self.step < last:
                scalars = self._one_step(loader)
                self.step += 1
                stop = self._anybody(signals.raised)
                save = self.step % s.save_every == 0 or self.step == last or stop
                if save or self.step % s.log_every == 0:
                    self._check(scalars)
                logs = self.step % s.log_every == 0 or self.step == last
                values = self._averaged(scalars) if logs else {}
                if journal and logs:
                    journal.write(self.step, values | {"lr": s.rate(self.step - 1)})
                    progress.update(bar, completed=self.step, loss=f"loss {values['loss']:.4f}")
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
        with self._loader() as loader:
            self._one_step(loader)
            start = time.perf_counter()
            for _ in range(steps):
                self.step += 1
                self._one_step(loader)
            return (time.perf_counter() - start) / steps

    def _loader(self) -> Loader:
        s, a = self.settings, self.accelerator
        shares = a.num_processes * s.accumulate
        mine = tuple(slice(a.process_index + a.num_processes * part, None, shares) for part in range(s.accumulate))
        batches = Batches(self.task.count, s.batch, s.seed)
        return Loader(self.task.fetch, batches, mine, s.steps, s.workers, a.device)

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

    def _one_step(self, loader: Loader) -> dict[str, Any]:
        s = self.settings
        contexts = [
            StepContext(
                step=self.step,
                steps=s.steps,
                part=part,
                size=loaded.size,
                mine=loaded.mine,
                data=loaded.data,
                generator=generator_of(s.seed, "step", self.step),
            )
            for part, loaded in enumerate(loader.step(self.step))
        ]
        torch.manual_seed(seed_of(s.seed, "dropout", self.step, self.accelerator.process_index))
        self.task.modules.train()
        scalars: dict[str, Any] = {}
        parts = [self.task.losses(context) for context in contexts]
        while (found := self._backward(parts)) is not None:
            scalars |= found | {"loss": scalars.get("loss", 0.0) + found["loss"]}
        self.ema.update(self.task.modules[self.task.parts[0]], self.step)
        return scalars | self.task.after_step(contexts[0])

    def _backward(self, parts: list[Iterator[Loss]]) -> dict[str, Tensor] | None:
        """The next loss of every part of the batch, and one step by their mean; None after the last loss."""
        for optimiser in self.optimisers.values():
            optimiser.zero_grad()
        device, scalars, loss = self.accelerator.device.type, dict[str, Tensor](), None
        for part in parts:
            with torch.autocast(device, torch.bfloat16, enabled=self.settings.bf16):
                loss = next(part, None)
            if loss is None:  # all parts end together
                return None
            self.accelerator.backward(loss.value / len(parts))
            named = {"loss": loss.value, **{f"loss/{name}": value for name, value in loss.scalars.items()}}
            for name, value in named.items():
                mean = value.detach() / len(parts)
                scalars[name] = scalars[name] + mean if name in scalars else mean
        assert loss is not None
        self._update(loss.part)
        return scalars

    def _update(self, part: str) -> None:
        parameters = [p for p in self.task.modules[part].parameters() if p.grad is not None]
        if self.accelerator.num_processes > 1:
            _average_gradients(parameters, self.accelerator)
        nn.utils.clip_grad_norm_(parameters, self.settings.clip)
        optimiser = self.optimisers[part]
        for group in optimiser.param_groups:
            group["lr"] = self.settings.rate(self.step)
        optimiser.step()


def _average_gradients(parameters: list[nn.Parameter], accelerator: Accelerator) -> None:
    """A parameter that some shares of the batch did not use has zeros of them; one that none used stays without."""
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    used = torch.tensor([float(p.grad is not None) for p in parameters], device=grads[0].device)
    flat: Tensor = accelerator.reduce(torch.cat([used, *(grad.flatten() for grad in grads)]), "mean")
    shares, *means = flat.split([len(used), *(p.numel() for p in parameters)])
    for parameter, share, mean in zip(parameters, shares.tolist(), means, strict=True):
        parameter.grad = mean.view_as(parameter) if share else None


def _decay_groups(module: nn.Module, weight_decay: float, undecayed: tuple[str, ...]) -> list[dict[str, Any]]:
    """Matrices and kernels decay; biases, norms, embeddings and what begins with `undecayed` do not."""
    tables = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    named = list(module.named_parameters())
    decays = [p.dim() > 1 and id(p) not in tables and not name.startswith(undecayed) for name, p in named]
    return [
        {"params": [p for (_, p), wanted in zip(named, decays, strict=True) if wanted is decayed], "weight_decay": rate}
        for decayed, rate in ((True, weight_decay), (False, 0.0))
    ]
