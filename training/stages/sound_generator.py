"""The stage that trains a MAGNeT on a codec's ids."""

import shutil
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from models.architecture import architecture_dict, parse_architecture
from models.checkpoint import CheckpointConfig
from models.magnet.config import MAGNeTConfig
from models.magnet.consistency import TWIN_FAMILY
from models.magnet.family import FAMILY
from models.magnet.network import MAGNeT
from models.spec import Sampling
from models.tokenizers.coarser import keep_codebooks
from models.tokenizers.codec import Codec
from models.tokenizers.codecs import load_codec
from models.weights import save_checkpoint
from training.data.sound_tokens import SoundTokens, encode_sounds
from training.data.sounds import SoundSet
from training.marks import claim, weights_mark
from training.objectives.codec import pictures
from training.objectives.delayed_streams import DelayedTask
from training.objectives.masked_spans import MaskedSpanTask
from training.objectives.task import Task
from training.progress import counted
from training.recipe import Recipe, SoundStage
from training.sampled_sounds import begin_sounds, copied, in_training, manner_of, sample_sounds
from training.settings import DelayedSettings
from training.sound_material import SoundMaterial
from training.stages.codec import sounds_mark
from training.stages.common import CHECKPOINT, export, provenance, train
from training.where import Where

SHOWN = 6
CODEC = "codec"  # what of it is used, in the run directory


def train_sound_generator(
    recipe: Recipe,
    stage: SoundStage,
    material: SoundMaterial,
    codec_place: Path,
    where: Where,
    accelerator: Accelerator,
) -> Path:
    """Train the generator that `stage` describes in `where.out`, on the codec directory; returns the checkpoint."""
    if stage.codebooks:
        codec_place = _coarser(codec_place, where.out / CODEC, stage.codebooks, accelerator)
    data, codec = material.sounds, load_codec(codec_place)
    sizes = fitted(stage.network, data, codec)
    claim(
        where.out,
        {
            "sounds": sounds_mark(data),
            "network": architecture_dict(sizes),
            "codec": weights_mark(codec_place),
        },
    )
    tokens = _tokens(codec, data, where.out, accelerator)
    sampling = parse_architecture(Sampling, stage.decoding, "sound.decoding")
    some = torch.linspace(0, len(data) - 1, SHOWN).long()
    asked = [tuple(label[label >= 0].tolist()) for label in data.labels[some]]
    torch.manual_seed(stage.train.seed)
    task: Task
    if isinstance(stage.objective, DelayedSettings):
        family = TWIN_FAMILY

        def begun(network: MAGNeT) -> Tensor:
            return pictures(begin_sounds(copied(network), codec, asked, manner_of(sampling)))

        task = DelayedTask(MAGNeT(sizes), tokens, stage.objective, begun)
    else:
        family = FAMILY

        def made(network: MAGNeT) -> Tensor:
            return pictures(sample_sounds(in_training(network, codec, sampling), asked, sampling))

        task = MaskedSpanTask(MAGNeT(sizes), tokens, stage.objective, made)
    config = CheckpointConfig(
        family=family,
        architecture=architecture_dict(sizes),
        tokenizer="tokenizer",
        vocabulary=list(data.terms),
        decoding=dict(stage.decoding),
        quality=dict(stage.quality),
        training=provenance(recipe, stage.train),
        data=[material.source],
        licence="Apache-2.0",
    )
    place = where.out / CHECKPOINT
    if accelerator.is_main_process and not (place / "tokenizer").is_dir():
        half = place / ".tokenizer"
        shutil.copytree(codec_place, half, dirs_exist_ok=True)
        half.rename(place / "tokenizer")

    def saved(network: nn.Module) -> None:
        """A running directory can be served."""
        if accelerator.is_main_process:
            save_checkpoint(place, config, network.state_dict())

    network = train(task, stage.train, where, accelerator, "sound", saved)
    return export(network, config, place, accelerator)


def _coarser(place: Path, out: Path, codebooks: int, accelerator: Accelerator) -> Path:
    """The codec in `place` with its first codebooks alone. Raises ValueError where it has fewer."""
    if accelerator.is_main_process:
        keep_codebooks(place, out, codebooks)
    accelerator.wait_for_everyone()
    return out


def fitted(sizes: MAGNeTConfig, data: SoundSet, codec: Codec) -> MAGNeTConfig:
    """With what follows from the sounds and their codec. Raises ValueError where these do not fit."""
    of = codec.config
    if data.rate != of.sample_rate:
        raise ValueError(f"the sounds have {data.rate} samples a second, the codec {of.sample_rate}")
    return replace(
        sizes,
        codebooks=of.codebooks,
        codebook_size=of.codebook_size,
        frame_rate=of.frame_rate,
        seconds=data.waves.shape[1] // of.hop / of.frame_rate,
        text_encoder="",
        terms=len(data.terms),
    )


def _tokens(codec: Codec, data: SoundSet, out: Path, accelerator: Accelerator) -> SoundTokens:
    path = out / "tokens.safetensors"
    if accelerator.is_main_process and not path.is_file():
        codec.to(accelerator.device)
        with counted("tokens", len(data)) as tell:
            encode_sounds(codec, data, tell).save(path)
        codec.cpu()
    accelerator.wait_for_everyone()
    return SoundTokens.load(path)
