"""The stage that trains a codec."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from models.architecture import architecture_dict
from models.checkpoint import CheckpointConfig
from models.tokenizers.codecs import build_codec, codec_family
from training.data.sounds import SoundSet
from training.marks import claim
from training.objectives.codec import CodecTask, samples_of
from training.recipe import CodecStage, Recipe
from training.sound_material import SoundMaterial
from training.stages.common import CHECKPOINT, export, provenance, train
from training.trainer import STATE
from training.where import Where


def train_codec(
    recipe: Recipe, stage: CodecStage, material: SoundMaterial, where: Where, accelerator: Accelerator
) -> Path:
    """Train the codec that `stage` describes in `where.out`; returns the checkpoint."""
    claim(where.out, {"sounds": sounds_mark(material.sounds), "network": architecture_dict(stage.network)})
    torch.manual_seed(stage.train.seed)
    codec = build_codec(stage.network)
    task = CodecTask(codec, material.sounds, stage.objective)
    if not (where.out / STATE).is_file():
        codec.prepare(samples_of(material.sounds))
    network = train(task, stage.train, where, accelerator, "codec")
    config = CheckpointConfig(
        family=codec_family(stage.network),
        architecture=architecture_dict(stage.network),
        training=provenance(recipe, stage.train),
        data=[material.source],
        licence="Apache-2.0",
    )
    return export(network, config, where.out / CHECKPOINT, accelerator)


def sounds_mark(data: SoundSet) -> str:
    """Changes with the number, the captions and - heard 64 of them - the samples of the sounds."""
    digest = hashlib.blake2b(repr((tuple(data.waves.shape), data.rate)).encode(), digest_size=12)
    digest.update("\n".join(data.captions).encode())
    digest.update(np.ascontiguousarray(data.waves[:: max(1, len(data) // 64)]).tobytes())
    return digest.hexdigest()
