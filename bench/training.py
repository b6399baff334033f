"""The trainer against a bare PyTorch loop over the same network, and where its time goes."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import nn

from bench.context import Context
from bench.results import Table, spread
from models.maskgit.network import UViT
from training.data.tokens import TokenSet
from training.journal import Journal
from training.loader import Loader
from training.objectives.masked_tokens import MaskedTokenTask, Rows, token_rows
from training.recipe import GeneratorStage, read_recipe
from training.trainer import Trainer

TITLE = "Training throughput"
RECIPE = "fashion-maskgit"
IMAGES = 4096
LOOPS: dict[str, Rows] = {
    "bare loop, the same forward": token_rows,
    "bare loop, torch's fused attention": lambda network, ids, labels: network.rows(ids, labels),
}


def run(context: Context) -> None:
    steps = 4 if context.quick else 40
    stage = read_recipe(RECIPE).generator
    assert stage is not None
    tokens = _tokens(stage)
    speed = Table(
        f"Steps of {RECIPE}, batch {stage.train.batch}, bf16, {steps} at a time",
        ["loop", "steps per second", "trainer / loop"],
        note="The bare loops draw masks, run forward, cross-entropy, backward, clipping and a fused AdamW, and nothing "
        "else: no average of the weights, no curves, no states. The trainer's number includes those, and the share of "
        f"a save every {stage.train.save_every} steps; sample pictures come on top. Loops take turns.",
    )
    found: dict[str, list[float]] = {"trainer": [], **{name: [] for name in LOOPS}}
    spent: dict[str, list[float]] = {}
    with TemporaryDirectory() as folder:
        for turn in range(context.repeats):
            seconds, parts = _trainer(stage, tokens, steps, Path(folder) / str(turn), context)
            found["trainer"].append(steps / seconds)
            for name, share in parts.items():
                spent.setdefault(name, []).append(100 * share / seconds)
            for name, rows in LOOPS.items():
                found[name].append(steps / _bare(stage, tokens, steps, rows, context))
    for name, rates in found.items():
        ratios = [mine / rate for mine, rate in zip(found["trainer"], rates, strict=True)]
        speed.rows.append([name, spread(rates), spread(ratios)])
    context.add(speed)
    parts_table = Table("Of the trainer's time, percent", ["part", "percent"])
    parts_table.rows = [[name, spread(values, digits=3)] for name, values in spent.items()]
    context.add(parts_table)


def _tokens(stage: GeneratorStage) -> TokenSet:
    network = stage.network
    ids = torch.randint(network.codebook_size, (1, IMAGES, network.length))
    return TokenSet(ids, torch.randint(network.num_classes, (IMAGES,)))


def _trainer(
    stage: GeneratorStage, tokens: TokenSet, steps: int, place: Path, context: Context
) -> tuple[float, dict[str, float]]:
    """Seconds of `steps` steps after a first one, and of parts of them."""
    torch.manual_seed(0)
    task = MaskedTokenTask(UViT(stage.network), tokens, stage.objective, lambda network: torch.zeros(1, 8, 8).byte())
    settings = replace(stage.train, steps=steps + 1, save_every=10**6, sample_every=10**6)
    trainer = Trainer(task, settings, place, Accelerator(cpu=context.device == "cpu"))
    spent: dict[str, float] = {}
    done: list[float] = []
    one_step = trainer._one_step

    def stamped(loader: Loader) -> dict[str, Any]:
        found = one_step(loader)
        context.sync()
        done.append(time.perf_counter())
        if len(done) == 1:
            spent.clear()
        return found

    watched: tuple[tuple[str, type, str], ...] = (
        ("data", Loader, "step"),
        ("masks and labels", MaskedTokenTask, "_batch"),
        ("curves", Journal, "write"),
        ("averaged weights", type(trainer.ema), "update"),
    )
    with ExitStack() as stack:
        for name, owner, method in watched:
            stack.enter_context(patch.object(owner, method, _clocked(context, spent, name, getattr(owner, method))))
        stack.enter_context(patch.object(trainer, "_one_step", stamped))
        stack.enter_context(patch.object(trainer, "save", lambda: None))
        trainer.run()
    spent["saves"] = context.timed(trainer.save) * steps / stage.train.save_every
    return done[-1] - done[0] + spent["saves"], spent


def _clocked(context: Context, spent: dict[str, float], name: str, act: Callable[..., Any]) -> Callable[..., Any]:
    def timed(*args: Any) -> Any:
        with context.stopwatch(spent, name):
            return act(*args)

    return timed


def _bare(stage: GeneratorStage, tokens: TokenSet, steps: int, rows: Rows, context: Context) -> float:
    """Seconds of `steps` steps of the shortest loop that trains the network."""
    torch.manual_seed(0)
    s, config, device = stage.train, stage.network, torch.device(context.device)
    network = UViT(config).to(device).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=s.lr, betas=s.betas, weight_decay=s.weight_decay, fused=True)

    def step(at: int) -> None:
        picks = torch.randint(IMAGES, (s.batch,))
        ids, labels = tokens.ids[0, picks].to(device), tokens.labels[picks].to(device)
        ratio = torch.cos(torch.pi / 2 * torch.rand(s.batch, 1, device=device))
        masked = torch.rand(ids.shape, device=device) < ratio.clamp(min=1 / config.length)
        with torch.autocast(device.type, torch.bfloat16, enabled=s.bf16):
            logits = network.head(rows(network, ids.masked_fill(masked, config.mask_id), labels)[masked])
            loss = F.cross_entropy(logits.float(), ids[masked])
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), s.clip)
        optimiser.step()

    step(0)
    context.sync()
    start = time.perf_counter()
    for at in range(steps):
        step(at)
    context.sync()
    return time.perf_counter() - start
