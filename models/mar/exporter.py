"""A checkpoint -> official MAR weights (`checkpoint-last.pth`)."""

import os
from pathlib import Path

import torch
from torch import Tensor

from models.checkpoint import CheckpointError, read_config, tokenizer_directory
from models.exporting import CARD, Exported, check_said
from models.mar.consistency import read_architectures
from models.mar.importer import infer_mar, official_key
from models.mar.network import MAR
from models.official import official_state, write_official
from models.staging import fresh_directory

WEIGHTS = "checkpoint-last.pth"
CLASSES = "classes.txt"
LAYOUT = "mar"
LEADING = {"null_condition": 1, "mask_token": 2, "encoder_positions": 1, "decoder_positions": 1, "head_positions": 1}
"""Sides of length one in front of some official tensors."""


def export_mar(directory: Path, out: Path) -> Exported:
    """Write the new directory `out`: float32 weights as `model_ema`, class names one a line, and the checkpoint's card.

    The tokenizer stays where it is. CheckpointError, in one line, for a checkpoint of another family, one that the
    layout cannot hold, and errors of the disk.
    """
    config = read_config(directory)
    if config.family != "mar":
        raise CheckpointError(f"{directory}: the {LAYOUT} layout is for mar checkpoints, this is {config.family}")
    sizes = read_architectures(directory, config)[0]
    with torch.device("meta"):
        model = MAR(sizes)
    state = {official_key(key): _led(key, value) for key, value in official_state(model, directory).items()}
    heads = (sizes.encoder_heads, sizes.decoder_heads)
    said = infer_mar(directory, state, heads, sizes.patch)
    check_said(directory, LAYOUT, sizes, said, ignored={"dropout", "diffusion_steps"})
    names = "".join(f"{name}\n" for name in config.classes)
    if [line.strip() for line in names.splitlines()] != config.classes:
        raise CheckpointError(f"{directory}: a class name does not fit on a line of {CLASSES}")
    with fresh_directory(out) as place:
        write_official(place / WEIGHTS, {"model_ema": state})
        (place / CLASSES).write_text(names, encoding="utf-8")
        decoding = {"diffusion_steps": sizes.diffusion_steps, **config.decoding}  # which no weight shows
        card = config.model_copy(update={"decoding": decoding})
        (place / CARD).write_text(card.model_dump_json(indent=2, exclude_none=True) + "\n", encoding="utf-8")
    return Exported(
        directory=out,
        files=(WEIGHTS, CLASSES, CARD),
        tensors=len(state),
        parameters=sum(value.numel() for value in state.values()),
        command=(
            *("maskserve", "import", LAYOUT, str(out / WEIGHTS), f"{directory.resolve().name}-imported"),
            *("--tokenizer", os.path.normpath(tokenizer_directory(directory, config))),
            *("--heads", ",".join(map(str, heads)), "--patch", str(sizes.patch)),
            *("--classes", str(out / CLASSES), "--card", str(out / CARD)),
        ),
    )


def _led(key: str, value: Tensor) -> Tensor:
    return value[(None,) * LEADING.get(key, 0)]
