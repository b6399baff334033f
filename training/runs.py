"""Runs a recipe's stages in a run directory and writes the checkpoint.

OUT/perceptual.safetensors       the frozen perceptual classifier (tokenizer recipes)
OUT/tokens.safetensors           the token cache (generator recipes)
OUT/state.pt metrics.jsonl samples/ tensorboard/
OUT/refine/                      the same of the decoder's second pass
OUT/checkpoint/                  what the service reads
OUT/tokenizer/                   the run of the tokenizer, when none was given to a generator
OUT/tokenizer-imported/          the tokenizer that was given, when diffusers saved it
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from models.architecture import architecture_dict, parse_architecture
from models.checkpoint import CheckpointConfig, DataSource, checkpoint_hash, read_config, tokenizer_directory
from models.maskgit.network import UViT
from models.spec import Sampling
from models.tokenizers.base import Tokenizer
from models.tokenizers.kinds import load_tokenizer
from models.tokenizers.vqgan import VQGAN
from models.weights import save_checkpoint
from training import processes
from training.data import ImageSet, load
from training.data.images import orientations
from training.data.tokens import TokenSet, load_tokens, save_tokens, tokenise
from training.evaluate.classifier import fit
from training.evaluate.metrics import balanced_labels
from training.evaluate.report import load_pair
from training.evaluate.sampling import sample_images, wrap
from training.finetune import take_over
from training.given_tokenizer import usable
from training.marks import claim, clear, data_mark
from training.objectives.masked_tokens import MaskedTokenTask
from training.objectives.perceptual import PerceptualNet, load_perceptual, save_perceptual
from training.objectives.task import Task
from training.objectives.tokenizer import TokenizerTask
from training.pictures import grid
from training.progress import counted
from training.recipe import GeneratorStage, Recipe, TokenizerStage, read_recipe
from training.settings import PerceptualSettings, TrainSettings
from training.trainer import STATE, Trainer

CHECKPOINT = "checkpoint"
SOURCES = {
    "fashion": DataSource(
        name="Fashion-MNIST, 60,000 training images",
        licence="MIT",
        credit="Fashion-MNIST by Han Xiao, Kashif Rasul and Roland Vollgraf, (c) 2017 Zalando SE",
    ),
    "shapes": DataSource(name="shapes drawn in code", licence="Apache-2.0", credit="maskserve"),
}


@dataclass(frozen=True)
class Where:
    """Places and devices of a run. `resume` continues a state that is there; otherwise it is deleted."""

    out: Path
    data_dir: Path | None = None
    tokenizer: Path | None = None
    resume: bool = True
    device: str = "cpu"
    stop_at: int | None = None
    init_from: Path | None = None  # a generator to start from


@dataclass(frozen=True)
class Material:
    """What is trained on, and what the checkpoint says of it."""

    images: ImageSet
    source: DataSource
    facts: Mapping[str, Any] = field(default_factory=dict)  # into `training` of config.json


def run_recipe(recipe: Recipe, where: Where, material: Material | None = None) -> Path:
    """Train what the recipe says, on its own data or on `material`; returns the checkpoint directory.

    Raises TrainingFailed and Stopped.
    """
    accelerator = processes.accelerator(where.device)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process and not where.resume:
        clear(where.out, {"--tokenizer": where.tokenizer, "--init-from": where.init_from})
    accelerator.wait_for_everyone()
    if material is None:
        material = Material(load(recipe.data, "train", where.data_dir), SOURCES[recipe.data])
    if recipe.generator is None:
        if recipe.tokenizer is None:
            raise ValueError(f"{recipe.name}: a recipe has a [tokenizer] or a [generator] table")
        return _run_tokenizer(recipe, recipe.tokenizer, material, where, accelerator)
    if where.tokenizer is not None:
        place = usable(where.tokenizer, material.images.images.shape[-1], where.out, accelerator)
    else:
        place = _own_tokenizer(recipe, material, where, accelerator)
    return _run_generator(recipe, recipe.generator, material, place, where, accelerator)


def _own_tokenizer(recipe: Recipe, material: Material, where: Where, accelerator: Accelerator) -> Path:
    """Train the recipe's tokenizer, or the one of the recipe it names."""
    inner = replace(where, out=where.out / "tokenizer", stop_at=None)
    if recipe.tokenizer is not None:
        return _run_tokenizer(recipe, recipe.tokenizer, material, inner, accelerator)
    if recipe.tokenizer_recipe is None:
        raise ValueError(f"{recipe.name}: name a tokenizer with --tokenizer")
    return run_recipe(read_recipe(recipe.tokenizer_recipe), inner, material)


def _run_tokenizer(
    recipe: Recipe, stage: TokenizerStage, material: Material, where: Where, accelerator: Accelerator
) -> Path:
    data = material.images
    claim(where.out, {"data": data_mark(data), "network": architecture_dict(stage.network)})
    perceptual = None
    if stage.perceptual is not None:
        perceptual = _perceptual(stage.perceptual, data, where.out, accelerator)
    torch.manual_seed(stage.train.seed)
    task = TokenizerTask(VQGAN(stage.network), data, stage.objective, perceptual)
    network = _train(task, stage.train, where, accelerator, "tokenizer")
    steps = stage.train.steps
    if stage.refine is not None:
        tokenizer = VQGAN(stage.network)
        tokenizer.load_state_dict(network.state_dict())
        torch.manual_seed(stage.refine.train.seed)
        task = TokenizerTask(tokenizer, data, stage.refine.objective, perceptual)
        inner = replace(where, out=where.out / "refine")
        network = _train(task, stage.refine.train, inner, accelerator, "tokenizer.refine")
        steps += stage.refine.train.steps
    config = CheckpointConfig(
        family="vqgan",
        architecture=architecture_dict(stage.network),
        training=_provenance(recipe, stage.train) | {"steps": steps} | dict(material.facts),
        data=[material.source],
        licence="Apache-2.0",
    )
    return _export(network, config, where.out / CHECKPOINT, accelerator)


def _run_generator(
    recipe: Recipe,
    stage: GeneratorStage,
    material: Material,
    tokenizer_place: Path,
    where: Where,
    accelerator: Accelerator,
) -> Path:
    data = material.images
    claim(
        where.out,
        {
            "data": data_mark(data),
            "classes": list(data.classes),
            "network": architecture_dict(stage.network),
            "flip": stage.objective.flip,
            "tokenizer": checkpoint_hash(tokenizer_place),
        },
    )
    sampling = parse_architecture(Sampling, stage.decoding, "generator.decoding")
    tokenizer = load_tokenizer(tokenizer_place)
    tokens = _tokens(tokenizer, data, stage.objective.flip, where.out, accelerator)
    shown = data.shown()
    labels = shown[balanced_labels(len(shown), 10 * len(shown))]

    def picture(network: UViT) -> Tensor:
        images = sample_images(wrap(network, tokenizer, sampling), labels, sampling, seed=0)
        return grid(images, len(shown))

    torch.manual_seed(stage.train.seed)
    generator = UViT(stage.network)
    if where.init_from is not None and not (where.out / STATE).is_file():
        taken = take_over(generator, list(data.classes), where.init_from)
        accelerator.print(f"started from {where.init_from}: {taken}")
    teacher = _teacher(stage, list(data.classes), tokenizer_place, accelerator)
    task = MaskedTokenTask(generator, tokens, stage.objective, picture, teacher)
    config = CheckpointConfig(
        family="maskgit",
        architecture=architecture_dict(stage.network),
        tokenizer="tokenizer",
        classes=[] if data.captioned else list(data.classes),
        vocabulary=list(data.classes) if data.captioned else [],
        decoding=dict(stage.decoding),
        training=_provenance(recipe, stage.train) | dict(material.facts),
        data=[material.source],
        licence="Apache-2.0",
    )
    place = where.out / CHECKPOINT
    if accelerator.is_main_process and not (place / "tokenizer").is_dir():
        half = place / ".tokenizer"
        shutil.copytree(tokenizer_place, half, dirs_exist_ok=True)
        half.rename(place / "tokenizer")

    def export(network: nn.Module) -> None:
        """A running directory can be served."""
        if accelerator.is_main_process:
            save_checkpoint(place, config, network.state_dict())

    network = _train(task, stage.train, where, accelerator, "generator", export)
    return _export(network, config, place, accelerator)


def _train(
    task: Task,
    settings: TrainSettings,
    where: Where,
    accelerator: Accelerator,
    stage: str,
    saved: Callable[[nn.Module], None] = lambda network: None,
) -> nn.Module:
    trainer = Trainer(task, settings, where.out, accelerator, stage, saved)
    trainer.resume()
    return trainer.run(where.stop_at)


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


def _tokens(tokenizer: Tokenizer, data: ImageSet, flip: bool, out: Path, accelerator: Accelerator) -> TokenSet:
    path = out / "tokens.safetensors"
    if accelerator.is_main_process and not path.is_file():
        with counted("tokens", len(data)) as tell:
            tokens = tokenise(tokenizer.to(accelerator.device), data.images, data.labels, flip=flip, tell=tell)
        save_tokens(tokens, path)
    accelerator.wait_for_everyone()
    return load_tokens(path)


def _teacher(stage: GeneratorStage, classes: list[str], tokenizer: Path, accelerator: Accelerator) -> UViT | None:
    """The generator to learn from, if one is named. Raises ValueError unless its tokens and classes are the same."""
    if not stage.objective.teacher:
        return None
    place = Path(stage.objective.teacher)
    config = read_config(place)
    if checkpoint_hash(tokenizer_directory(place, config)) != checkpoint_hash(tokenizer):
        raise ValueError(f"generator.objective.teacher {place}: it has another tokenizer than {tokenizer}")
    if config.conditions != classes:
        raise ValueError(f"generator.objective.teacher {place}: it has other classes")
    network, _ = load_pair(place)
    return network.to(accelerator.device).eval().requires_grad_(False)


def _export(network: nn.Module, config: CheckpointConfig, place: Path, accelerator: Accelerator) -> Path:
    if accelerator.is_main_process:
        save_checkpoint(place, config, network.state_dict())
    accelerator.wait_for_everyone()
    return place


def _provenance(recipe: Recipe, train: TrainSettings) -> dict[str, Any]:
    return {
        "recipe": recipe.name,
        "steps": train.steps,
        "batch": train.batch,
        "seed": train.seed,
        "precision": "bf16 autocast" if train.bf16 else "float32",
    }
