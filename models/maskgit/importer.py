"""Official AutoNAT / ReCAP weights (`nnet_ema.pth`) -> a checkpoint directory."""

import os
from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.architecture import architecture_dict
from models.checkpoint import CheckpointConfig, CheckpointError, read_config
from models.importing import UNKNOWN_LICENCE, Imported, class_names, description
from models.maskgit.config import UViTConfig
from models.maskgit.network import UViT
from models.official import check_fits, numbered, read_official, shape_of
from models.weights import save_checkpoint

RECAP_32: Mapping[str, Any] = {
    "num_inference_steps": 32,
    "temperature": 0.75,
    "anneal": True,
    "choice_temperature": 5.5,
    "schedule": "power:2.5",
    "draw": "separate",
    "reuse": 1,
    "full_first": 12,
}
"""The published 22 full + 10 reuse run of ReCAP (arXiv 2505.19089) on these weights."""

DEFAULTS: Mapping[str, Any] = {"decoding": dict(RECAP_32), "quality": {"low": 16, "medium": 20, "high": 32}}


def import_autonat(
    source: Path,
    out: Path,
    tokenizer: Path,
    classes: Path | None = None,
    heads: int | tuple[int, ...] = 8,
    licence: str = UNKNOWN_LICENCE,
    dtype: torch.dtype = torch.float32,
    card: Path | None = None,
) -> Imported:
    """Write the checkpoint directory `out` from a bare AutoNAT state dict.

    Sizes are inferred from shapes, except `heads`, which no weight shows. `tokenizer` is an
    imported tokenizer directory, referred to by relative path; `classes` a text file with one name
    per line (default "class 0", ...); `card` what an export wrote beside its weights, for the sampling defaults
    and the rest that is no size. Every key must be used, stray `position_ids` buffers are
    dropped and reported: CheckpointError names any other.
    """
    if not isinstance(heads, int):
        raise CheckpointError(f"{source}: heads: this layout has one stack, so one number, not {heads}")
    found = read_official(source)
    dropped = tuple(key for key in found if key.split(".")[-1] == "position_ids")
    state = {key: value for key, value in found.items() if key not in dropped}
    config = infer_uvit(source, state, heads)
    check_fits(source, state, lambda: UViT(config))
    read_config(tokenizer)
    written = CheckpointConfig(
        family="maskgit",
        architecture=architecture_dict(config),
        tokenizer=Path(os.path.relpath(tokenizer, out)).as_posix(),
        classes=class_names(classes, config.num_classes),
        **description(card, source, licence, DEFAULTS),
    )
    save_checkpoint(out, written, state, dtype)
    parameters = sum(value.numel() for value in state.values())
    return Imported(out, len(state), parameters, dropped, written.licence)


def infer_uvit(source: Path, state: Mapping[str, Tensor], heads: int) -> UViTConfig:
    """The architecture that the shapes of `state` show; CheckpointError for another layout."""
    words, dim = shape_of(source, state, "token_emb.word_embeddings.weight")
    length = shape_of(source, state, "token_emb.position_embeddings.weight")[0]
    class_rows = shape_of(source, state, "context_embed.word_embeddings.weight")[0]
    hidden = shape_of(source, state, "mid_block.mlp.fc1.weight")[0]
    side = isqrt(length)
    if side * side != length:
        raise CheckpointError(f"{source}: {length} positions are no square grid")
    try:
        return UViTConfig(
            codebook_size=words - 1,
            grid=(side, side),
            num_classes=class_rows - 1,
            dim=dim,
            depth=numbered(state, "in_blocks.") + numbered(state, "out_blocks."),
            heads=heads,
            mlp_ratio=hidden / dim,
            qkv_bias="mid_block.attn.qkv.bias" in state,
        )
    except ValueError as error:
        raise CheckpointError(f"{source}: {error}") from None
