"""The stage that trains a tokenizer."""

from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator

from models.architecture import architecture_dict
from models.checkpoint import CheckpointConfig, checkpoint_hash
from models.tokenizers.kinds import build_tokenizer, load_tokenizer
from training.data.images import ImageSet, orientations
from training.evaluate.classifier import fit
from training.given_tokenizer import usable
from training.marks import claim, data_mark
from training.objectives.perceptual import PerceptualNet, load_perceptual, save_perceptual
from training.progress import counted
from training.recipe import Recipe, TokenizerStage
from training.settings import PerceptualSettings
from training.stages.common import CHECKPOINT, export, provenance, train
from training.where import Material, Where


def train_tokenizer(
    recipe: Recipe, stage: TokenizerStage, material: Material, where: Where, accelerator: Accelerator
) -> Path:
    """Train the tokenizer that `stage` describes in `where.out`; returns the checkpoint.

    With `where.tokenizer` that one is trained further, and sizes are its own.
    """
    data, start = material.images, None
    facts = {"data": data_mark(data)}
    if where.tokenizer is not None:
        place = usable(where.tokenizer, data.images.shape[-1], where.out, accelerator)
        start, facts["start"] = load_tokenizer(place), checkpoint_hash(place)
        if type(start.config) is not stage.kind.config:
            raise ValueError(f"--tokenizer {where.tokenizer} is no {stage.kind.name}, which {recipe.name} trains")
        stage = replace(stage, network=start.config)
    claim(where.out, facts | {"network": architecture_dict(stage.network)})
    perceptual = None
    if stage.perceptual is not None:
        perceptual = _perceptual(stage.perceptual, data, where.out, accelerator)
    torch.manual_seed(stage.train.seed)
    tokenizer = build_tokenizer(stage.network)
    if start is not None:
        tokenizer.load_state_dict(start.state_dict())
    task = stage.kind.task(tokenizer, data, stage.objective, perceptual)
    network = train(task, stage.train, where, accelerator, "tokenizer")
    steps = stage.train.steps
    if stage.refine is not None:
        tokenizer = build_tokenizer(stage.network)
        tokenizer.load_state_dict(network.state_dict())
        torch.manual_seed(stage.refine.train.seed)
        task = stage.kind.task(tokenizer, data, stage.refine.objective, perceptual)
        inner = replace(where, out=where.out / "refine")
        network = train(task, stage.refine.train, inner, accelerator, "tokenizer.refine")
        steps += stage.refine.train.steps
    config = CheckpointConfig(
        family=stage.kind.name,
        architecture=architecture_dict(stage.kind.finished(network, data)),
        training=provenance(recipe, stage.train) | {"steps": steps} | dict(material.facts),
        data=[material.source],
        licence="Apache-2.0",
    )
    return export(network, config, where.out / CHECKPOINT, accelerator)


def _perceptual(settings: PerceptualSettings, data: ImageSet, out: Path, accelerator: Accelerator) -> PerceptualNet:
    path, channels = out / "perceptual.safetensors", data.images.shape[1]
    labelled = len(data.classes) > 1 and not data.captioned
    if accelerator.is_main_process and not path.is_file():
        shown = data if labelled else orientations(data)
        torch.manual_seed(settings.seed)
        network = PerceptualNet(channels, len(shown.classes))
        with counted("perceptual network", settings.epochs * len(shown)) as tell:
            fit(network, shown, epochs=settings.epochs, seed=settings.seed, lr=settings.lr, tell=tell)
        save_perceptual(network, path)
    accelerator.wait_for_everyone()
    return load_perceptual(path).to(accelerator.device)
