"""The stage that trains a generator on a tokenizer's codes or latents."""

import shutil
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from models.architecture import architecture_dict, parse_architecture
from models.checkpoint import CheckpointConfig
from models.spec import Sampling
from models.tokenizers.base import Tokenizer
from models.tokenizers.kinds import load_tokenizer, read_tokenizer
from models.weights import save_checkpoint
from training.data.images import ImageSet
from training.evaluate.metrics import balanced_labels
from training.evaluate.sampling import sample_images
from training.generators.base import TokenCache
from training.marks import claim, data_mark, weights_mark
from training.pictures import grid
from training.progress import counted
from training.recipe import GeneratorStage, Recipe
from training.stages.common import CHECKPOINT, export, provenance, train
from training.trainer import STATE
from training.where import Material, Where


def train_generator(
    recipe: Recipe,
    stage: GeneratorStage,
    material: Material,
    tokenizer_place: Path,
    where: Where,
    accelerator: Accelerator,
) -> Path:
    """Train the generator `stage` describes in `where.out`, on the tokenizer directory; returns the checkpoint."""
    data, kind = material.images, stage.kind
    kind.check(stage.network, read_tokenizer(tokenizer_place))
    claim(
        where.out,
        {
            "data": data_mark(data),
            "classes": list(data.classes),
            "network": architecture_dict(stage.network),
            "flip": stage.objective.flip,
            "tokenizer": weights_mark(tokenizer_place),
        },
    )
    sampling = parse_architecture(Sampling, stage.decoding, "generator.decoding")
    tokenizer = load_tokenizer(tokenizer_place)
    tokens = _tokens(stage, tokenizer, data, where.out, accelerator)
    shown = data.shown()
    labels = shown[balanced_labels(len(shown), 10 * len(shown))]

    def picture(network: nn.Module) -> Tensor:
        return grid(sample_images(kind.decoder(network, tokenizer, sampling), labels, sampling, seed=0), len(shown))

    torch.manual_seed(stage.train.seed)
    generator = kind.network(stage.network)
    if where.init_from is not None and not (where.out / STATE).is_file():
        taken = kind.start(generator, list(data.classes), where.init_from)
        accelerator.print(f"started from {where.init_from}: {taken}")
    teacher = kind.teacher(stage.objective, list(data.classes), tokenizer_place)
    if teacher is not None:
        teacher.to(accelerator.device).eval().requires_grad_(False)
    task = kind.task(generator, tokens, stage.objective, picture, teacher)
    config = CheckpointConfig(
        family=kind.name,
        architecture=architecture_dict(stage.network),
        tokenizer="tokenizer",
        classes=[] if data.captioned else list(data.classes),
        vocabulary=list(data.classes) if data.captioned else [],
        decoding=dict(stage.decoding),
        training=provenance(recipe, stage.train) | dict(material.facts),
        data=[material.source],
        licence="Apache-2.0",
    )
    place = where.out / CHECKPOINT
    if accelerator.is_main_process and not (place / "tokenizer").is_dir():
        half = place / ".tokenizer"
        shutil.copytree(tokenizer_place, half, dirs_exist_ok=True)
        half.rename(place / "tokenizer")

    def saved(network: nn.Module) -> None:
        """A running directory can be served."""
        if accelerator.is_main_process:
            save_checkpoint(place, config, network.state_dict())

    network = train(task, stage.train, where, accelerator, "generator", saved)
    return export(network, config, place, accelerator)


def _tokens(
    stage: GeneratorStage, tokenizer: Tokenizer, data: ImageSet, out: Path, accelerator: Accelerator
) -> TokenCache:
    path = out / "tokens.safetensors"
    if accelerator.is_main_process and not path.is_file():
        with counted("tokens", len(data)) as tell:
            tokenizer.to(accelerator.device)
            stage.kind.encode(tokenizer, data, stage.network, stage.objective, tell).save(path)
    accelerator.wait_for_everyone()
    return stage.kind.load(path)
