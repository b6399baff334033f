"""From a folder of pictures to a checkpoint: what is there, what will be trained, how long it takes, and the run."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from models.checkpoint import DataSource
from models.tokenizers.kinds import TokenizerConfig, build_tokenizer
from training import processes
from training.data.folder import Aspect, Prepared, Shape, prepare
from training.data.images import orientations
from training.data.listing import Listing, list_folder
from training.evaluate.classifier import fit
from training.given_tokenizer import given_sizes
from training.objectives.perceptual import PerceptualNet
from training.objectives.task import Task
from training.recipe import GeneratorStage, Recipe, TokenizerStage, read_recipe
from training.runs import run_recipe
from training.settings import TrainSettings
from training.trainer import Trainer
from training.where import Material, Where

SIZES = (16, 32, 64, 128, 256)
LARGEST_BY_DEFAULT = 64
LOOKED_AT = 64  # pictures whose colours are compared
MEASURED = 64  # pictures that a stage without steps is timed on
BYTES_PER_PARAMETER = 20  # weights, gradient, two moments, average


@dataclass(frozen=True)
class PicturesJob:
    """What the user asked for; None means: decide by the pictures."""

    data: Path
    out: Path
    size: int | None = None
    colour: bool | None = None
    aspect: Aspect = "crop"
    flip: bool = False
    recipe: str = "image"
    changes: Mapping[str, str] | None = None
    licence: str = "unknown"
    credit: str = ""
    tokenizer: Path | None = None  # given, or that of a generator to start from

    @property
    def cache(self) -> Path:
        return self.out / "pictures"


@dataclass(frozen=True)
class Planned:
    """Everything that is known before training."""

    listing: Listing
    shape: Shape
    recipe: Recipe
    tokenizer: TokenizerConfig  # given, or the recipe's
    parameters: dict[str, int]  # of the networks that are trained


def plan(job: PicturesJob) -> Planned:
    """Look at the folder and fill in the recipe. Raises NoPictures, and ValueError for sizes that do not fit."""
    if job.out.resolve().is_relative_to(job.data.resolve()):
        raise ValueError(f"--out {job.out} lies inside --data {job.data}: its pictures would become training data")
    listing = list_folder(job.data)
    given = None
    if job.tokenizer is not None:
        given = given_sizes(job.tokenizer, job.size, choose_size(listing, None))
    if given is None:
        shape = Shape(choose_size(listing, job.size), 3 if choose_colour(listing, job.colour) else 1, job.aspect)
        own = {**fitted(_stages(read_recipe(job.recipe))[0], shape), **(job.changes or {})}
    else:
        shape = Shape(given.resolution, given.in_channels, job.aspect)
        if job.size not in (None, shape.size):
            raise ValueError(f"{job.tokenizer} is for {shape.size} pixels, not {job.size}")
        own = dict(job.changes or {})
    stages = _stages(read_recipe(job.recipe, own))
    tokenizer = given or stages[0].network
    recipe = read_recipe(job.recipe, {**following(stages[1], tokenizer, listing, job.flip), **own})
    _stages(recipe)[1].kind.check(_stages(recipe)[1].network, tokenizer)
    trained = _parameters(recipe)
    if given is not None:
        del trained["tokenizer"]
    return Planned(listing, shape, recipe, tokenizer, trained)


def choose_size(listing: Listing, asked: int | None) -> int:
    """The largest known size that half of the pictures reach, 64 at most unless asked for."""
    if asked is not None:
        if asked not in SIZES:
            raise ValueError(f"--size is one of {', '.join(map(str, SIZES))}, not {asked}")
        return asked
    reached = [size for size in SIZES if size <= min(listing.median_side, LARGEST_BY_DEFAULT)]
    return reached[-1] if reached else SIZES[0]


def choose_colour(listing: Listing, asked: bool | None) -> bool:
    """False when every picture is grey: by its header, or - for some spread over the folder - by its pixels."""
    if asked is not None:
        return asked
    if listing.grey:
        return False
    every = max(1, len(listing) // LOOKED_AT)
    return any(_coloured(source.path) for source in listing.sources[::every] if not source.grey)


def _coloured(path: Path) -> bool:
    try:
        with Image.open(path) as picture:
            picture.thumbnail((64, 64))
            pixels = np.asarray(picture.convert("RGB")).astype(int)
    except Exception:  # damaged: it is named when it is decoded
        return False
    return bool(np.ptp(pixels, axis=2).max() > 12)


def fitted(stage: TokenizerStage, shape: Shape) -> dict[str, str]:
    """The tokenizer that follows from the pictures, as changes to a recipe."""
    values = {"resolution": shape.size, "in_channels": shape.channels, **stage.kind.fitted(shape.size)}
    return {f"tokenizer.network.{field}": json.dumps(value) for field, value in values.items()}


def following(stage: GeneratorStage, tokenizer: TokenizerConfig, listing: Listing, flip: bool) -> dict[str, str]:
    """The generator that follows from a tokenizer and the pictures, as changes to a recipe."""
    values = stage.kind.following(tokenizer, len(listing.conditions), listing.words)
    return {
        **{f"generator.network.{field}": json.dumps(value) for field, value in values.items()},
        "generator.objective.flip": json.dumps(flip),
    }


def _stages(recipe: Recipe) -> tuple[TokenizerStage, GeneratorStage]:
    """Raises ValueError for a recipe that has only one of them."""
    if recipe.tokenizer is None or recipe.generator is None:
        raise ValueError(f"{recipe.name}: pictures need a recipe with a [tokenizer] and a [generator] table")
    return recipe.tokenizer, recipe.generator


def _parameters(recipe: Recipe) -> dict[str, int]:
    tokenizer, generator = _stages(recipe)
    with torch.device("meta"):
        networks: dict[str, nn.Module] = {
            "tokenizer": build_tokenizer(tokenizer.network),
            "generator": generator.kind.network(generator.network),
        }
    return {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}


def prepared(job: PicturesJob, planned: Planned, tell: Callable[[], None]) -> Prepared:
    """Decode the pictures, or map those that were decoded before."""
    return prepare(planned.listing, planned.shape, job.cache, tell)


def run(job: PicturesJob, planned: Planned, data: Prepared, where: Where) -> Path:
    """All stages; finished ones are skipped. Returns the checkpoint's directory."""
    return run_recipe(planned.recipe, where, material(job, planned, data))


def material(job: PicturesJob, planned: Planned, data: Prepared) -> Material:
    name = f"{job.data.resolve().name}, {len(data.train):,} pictures"
    source = DataSource(name=name, licence=job.licence, credit=job.credit)
    return Material(data.train, source, {"aspect": job.aspect})


def memory_bytes(planned: Planned) -> int:
    """Of the larger network while it trains; activations come on top."""
    return BYTES_PER_PARAMETER * max(planned.parameters.values())


def seconds_to_finish(planned: Planned, data: Prepared, device: str, has_tokenizer: bool) -> dict[str, float]:
    """Stage -> seconds of all its steps, from a few measured ones on these pictures; nothing of them is kept."""
    images, (stage, generator) = data.train, _stages(planned.recipe)
    few = images.take(torch.arange(min(MEASURED, len(images))))
    scale, accelerator = len(images) / len(few), processes.accelerator(device)

    def seconds(task: Task, settings: TrainSettings) -> float:
        trainer = Trainer(task, settings, Path(), accelerator)
        trainer.step = settings.steps // 2  # late losses included
        return trainer.seconds_per_step() * settings.steps

    found: dict[str, float] = {}
    if not has_tokenizer:
        tokenizer, perceptual = build_tokenizer(stage.network), None
        if stage.perceptual is not None:
            shown = orientations(few)
            perceptual = PerceptualNet(planned.shape.channels, len(shown.classes))
            once = _seconds(lambda: fit(perceptual, shown, epochs=1, seed=0)) / (len(shown) / len(few))
            found["perceptual network"] = once * scale * stage.perceptual.epochs
            perceptual.to(accelerator.device).eval().requires_grad_(False)
        found["tokenizer"] = seconds(stage.kind.task(tokenizer, images, stage.objective, perceptual), stage.train)
        if stage.refine is not None:
            refine = stage.kind.task(tokenizer, images, stage.refine.objective, perceptual)
            found["its decoder"] = seconds(refine, stage.refine.train)
    encoder = build_tokenizer(planned.tokenizer).to(accelerator.device)
    kind, network, objective = generator.kind, generator.network, generator.objective
    found["tokens"] = scale * _seconds(lambda: kind.encode(encoder, few, network, objective, lambda done: None))
    task = kind.rehearsal(network, objective, images.labels, accelerator.device)
    found["generator"] = seconds(task, generator.train)
    return found


def _seconds(work: Callable[[], object]) -> float:
    """Of the second time; the first one warms up."""
    work()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
