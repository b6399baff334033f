"""A checkpoint -> official AutoNAT / ReCAP weights (`nnet_ema.pth`)."""

import os
import shutil
from pathlib import Path

import torch

from models.checkpoint import CONFIG, CheckpointError, read_config, tokenizer_directory
from models.exporting import CARD, Exported, check_said
from models.maskgit.config import UViTConfig
from models.maskgit.consistency import read_architectures
from models.maskgit.importer import infer_uvit
from models.maskgit.network import UViT
from models.official import official_state, write_official
from models.staging import fresh_directory

WEIGHTS = "nnet_ema.pth"
CLASSES = "classes.txt"
LAYOUT = "autonat"


def export_autonat(directory: Path, out: Path) -> Exported:
    """Write the new directory `out`: a bare float32 state dict, class names one a line, and the checkpoint's card.

    The tokenizer stays where it is; its own layout is `vqgan-jax`. CheckpointError, in one line, for a checkpoint of
    another family, one that the layout cannot hold, and errors of the disk.
    """
    config = read_config(directory)
    if config.family != "maskgit":
        raise CheckpointError(f"{directory}: the {LAYOUT} layout is for maskgit checkpoints, this is {config.family}")
    sizes: UViTConfig = read_architectures(directory, config)[0]
    with torch.device("meta"):
        model = UViT(sizes)
    state = official_state(model, directory)
    check_said(directory, LAYOUT, sizes, infer_uvit(directory, state, sizes.heads), ignored={"dropout"})
    names = "".join(f"{name}\n" for name in config.classes)
    if [line.strip() for line in names.splitlines()] != config.classes:
        raise CheckpointError(f"{directory}: a class name does not fit on a line of {CLASSES}")
    with fresh_directory(out) as place:
        write_official(place / WEIGHTS, state)
        (place / CLASSES).write_text(names, encoding="utf-8")
        shutil.copyfile(directory / CONFIG, place / CARD)
    tokenizer = os.path.normpath(tokenizer_directory(directory, config))
    return Exported(
        directory=out,
        files=(WEIGHTS, CLASSES, CARD),
        tensors=len(state),
        parameters=sum(value.numel() for value in state.values()),
        command=(
            *("maskserve", "import", LAYOUT, str(out / WEIGHTS), f"{directory.resolve().name}-imported"),
            *("--tokenizer", tokenizer, "--heads", str(sizes.heads)),
            *("--classes", str(out / CLASSES), "--card", str(out / CARD)),
        ),
    )
