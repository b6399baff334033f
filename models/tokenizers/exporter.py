"""A tokenizer -> the layout of official VQGAN weights (`vqgan_jax_strongaug.ckpt`)."""

import shutil
from pathlib import Path

import torch

from models.checkpoint import CONFIG, CheckpointError, read_config, tokenizer_directory
from models.exporting import CARD, Exported, check_said
from models.official import official_state, write_official
from models.staging import fresh_directory
from models.tokenizers.importer import infer_vqgan
from models.tokenizers.vqgan import VQGAN
from models.tokenizers.vqgan_config import VQGANConfig

WEIGHTS = "vqgan.ckpt"
LAYOUT = "vqgan-jax"


def export_vqgan_jax(directory: Path, out: Path) -> Exported:
    """Write the new directory `out`: the float32 state dict under `state_dict`, and the tokenizer's card.

    `directory` is a tokenizer, or a checkpoint whose tokenizer is meant. CheckpointError, in one line, for another
    kind of tokenizer, one that the layout cannot hold, and errors of the disk.
    """
    config = read_config(directory)
    if config.tokenizer is not None:
        directory = tokenizer_directory(directory, config)
        config = read_config(directory)
    if config.family != "vqgan":
        raise CheckpointError(f"{directory}: the {LAYOUT} layout is for vqgan tokenizers, this is a {config.family}")
    try:
        sizes = VQGANConfig.from_dict(config.architecture)
    except ValueError as error:
        raise CheckpointError(f"{directory}: {error}") from None
    with torch.device("meta"):
        model = VQGAN(sizes)
    state = official_state(model, directory)
    check_said(directory, LAYOUT, sizes, infer_vqgan(directory, state, sizes.resolution))
    with fresh_directory(out) as place:
        write_official(place / WEIGHTS, {"state_dict": state})
        shutil.copyfile(directory / CONFIG, place / CARD)
    return Exported(
        directory=out,
        files=(WEIGHTS, CARD),
        tensors=len(state),
        parameters=sum(value.numel() for value in state.values()),
        command=(
            *("maskserve", "import", LAYOUT, str(out / WEIGHTS), f"{directory.resolve().name}-imported"),
            *("--resolution", str(sizes.resolution), "--card", str(out / CARD)),
        ),
    )
