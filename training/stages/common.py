"""What stages share: the trainer in its directory, and the checkpoint that comes out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn

from models.checkpoint import CheckpointConfig
from models.weights import save_checkpoint
from training.objectives.task import Task
from training.recipe import Recipe
from training.settings import TrainSettings
from training.trainer import Trainer
from training.where import Where

CHECKPOINT = "checkpoint"


def train(
    task: Task,
    settings: TrainSettings,
    where: Where,
    accelerator: Accelerator,
    stage: str,
    saved: Callable[[nn.Module], None] = lambda network: None,
) -> nn.Module:
    """The averaged network, after the steps that were missing. Raises TrainingFailed and Stopped."""
    trainer = Trainer(task, settings, where.out, accelerator, stage, saved)
    trainer.resume()
    return trainer.run(where.stop_at)


def export(network: nn.Module, config: CheckpointConfig, place: Path, accelerator: Accelerator) -> Path:
    """Write the checkpoint `place` once; every process returns it."""
    if accelerator.is_main_process:
        save_checkpoint(place, config, network.state_dict())
    accelerator.wait_for_everyone()
    return place


def provenance(recipe: Recipe, train: TrainSettings) -> dict[str, Any]:
    """What config.json says of how it was trained."""
    return {
        "recipe": recipe.name,
        "steps": train.steps,
        "batch": train.batch,
        "seed": train.seed,
        "precision": "bf16 autocast" if train.bf16 else "float32",
    }
