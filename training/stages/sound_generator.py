"""The stage that trains a MAGNeT on a codec's ids."""

import copy
import shutil
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from models.architecture import architecture_dict, parse_architecture
from models.checkpoint import CheckpointConfig, checkpoint_hash
from models.decoder import GenerationRequest, Kind
from models.magnet.config import MAGNeTConfig
from models.magnet.decoder import MAGNeTDecoder
from models.magnet.family import MAX_REUSE, PARAMETERS
from models.magnet.network import MAGNeT
from models.magnet.text import TermRows
from models.spec import DecoderSpec, Sampling, Sound
from models.tokenizers.encodec import EnCodec, load_encodec
from models.weights import save_checkpoint
from training.data.sound_tokens import SoundTokens, encode_sounds
from training.data.sounds import MOST_TERMS, SoundSet
from training.marks import claim
from training.objectives.codec import pictures
from training.objectives.masked_spans import MaskedSpanTask
from training.progress import counted
from training.recipe import Recipe, SoundStage
from training.sound_material import SoundMaterial
from training.stages.codec import sounds_mark
from training.stages.common import CHECKPOINT, export, provenance, train
from training.where import Where

SHOWN = 6
FAMILY = "magnet"


def train_sound_generator(
    recipe: Recipe,
    stage: SoundStage,
    material: SoundMaterial,
    codec_place: Path,
    where: Where,
    accelerator: Accelerator,
) -> Path:
    """Train the generator that `stage` describes in `where.out`, on the codec directory; returns the checkpoint."""
    data, codec = material.sounds, load_encodec(codec_place)
    sizes = fitted(stage.network, data, codec)
    claim(
        where.out,
        {
            "sounds": sounds_mark(data),
            "network": architecture_dict(sizes),
            "codec": checkpoint_hash(codec_place),
        },
    )
    tokens = _tokens(codec, data, where.out, accelerator)
    sampling = parse_architecture(Sampling, stage.decoding, "sound.decoding")
    some = torch.linspace(0, len(data) - 1, SHOWN).long()
    asked = [tuple(label[label >= 0].tolist()) for label in data.labels[some]]

    def picture(network: nn.Module) -> Tensor:
        return pictures(sample_sounds(in_training(network, codec, sampling), asked, sampling))

    torch.manual_seed(stage.train.seed)
    task = MaskedSpanTask(MAGNeT(sizes), tokens, stage.objective, picture)
    config = CheckpointConfig(
        family=FAMILY,
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


def fitted(sizes: MAGNeTConfig, data: SoundSet, codec: EnCodec) -> MAGNeTConfig:
    """With what follows from the sounds and their codec."""
    of = codec.config
    return replace(
        sizes,
        codebooks=of.codebooks,
        codebook_size=of.codebook_size,
        frame_rate=of.frame_rate,
        seconds=data.seconds,
        text_encoder="",
        terms=len(data.terms),
    )


def _tokens(codec: EnCodec, data: SoundSet, out: Path, accelerator: Accelerator) -> SoundTokens:
    path = out / "tokens.safetensors"
    if accelerator.is_main_process and not path.is_file():
        codec.to(accelerator.device)
        with counted("tokens", len(data)) as tell:
            encode_sounds(codec, data, tell).save(path)
        codec.cpu()
    accelerator.wait_for_everyone()
    return SoundTokens.load(path)


def in_training(network: nn.Module, codec: EnCodec, sampling: Sampling) -> MAGNeTDecoder:
    """A decoder over copies of both networks, without a checkpoint directory behind it."""
    assert isinstance(network, MAGNeT)
    own, sizes, of = MAGNeT(network.config), network.config, codec.config
    own.load_state_dict(network.state_dict())
    spec = DecoderSpec(
        id="in-training",
        family=FAMILY,
        modality="audio",
        tasks=frozenset({"generate", "edit"}),
        size=(0, 0),
        grid=(sizes.codebooks, sizes.length),
        classes=(),
        most_words=MOST_TERMS,
        sampling=sampling,
        quality={},
        min_steps=sizes.codebooks,
        max_steps=400,
        max_reuse=MAX_REUSE,
        guidable=True,
        created=0,
        checkpoint="",
        licence="",
        noncommercial=False,
        parameters=PARAMETERS,
        sound=Sound(of.sample_rate, of.channels, of.hop, sizes.span, sizes.length),
    )
    return MAGNeTDecoder(spec, own, copy.deepcopy(codec), TermRows(own.terms))


def sample_sounds(
    decoder: MAGNeTDecoder, asked: list[tuple[int, ...]], sampling: Sampling, seed: int = 0, batch: int = 8
) -> Tensor:
    """Waves [N, 1, S] for the terms `asked` for; sample i has seed `seed + i`."""
    made: list[Tensor] = []
    for first in range(0, len(asked), batch):
        requests = [
            GenerationRequest("generate", terms or None, sampling, seed + first + at)
            for at, terms in enumerate(asked[first : first + batch])
        ]
        sequences = [decoder.admit(request)[0] for request in requests]
        while True:
            lanes: dict[object, list[int]] = {}
            works = [decoder.next_work(sequence) for sequence in sequences]
            for at, work in enumerate(works):
                if work is not None and work.kind is not Kind.FINISH:
                    lanes.setdefault(work.lane, []).append(at)
            if not lanes:
                break
            some = next(iter(lanes.values()))
            decoder.run(works[some[0]], [sequences[at] for at in some])  # type: ignore[arg-type]
        made += [torch.from_numpy(artifact.array.T.copy()) for artifact in decoder.finish(sequences)]
    return torch.stack(made)
