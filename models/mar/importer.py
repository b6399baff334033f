"""Official MAR weights (`checkpoint-last.pth`) -> a checkpoint directory."""

import os
from argparse import Namespace
from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.architecture import architecture_dict
from models.checkpoint import CheckpointConfig, CheckpointError
from models.importing import UNKNOWN_LICENCE, Imported, class_names, description
from models.keys import Rules, renamed, translate
from models.mar.config import MARConfig
from models.mar.consistency import fitting_tokenizer
from models.mar.network import MAR
from models.official import numbered, read_official, shape_of
from models.weights import save_checkpoint

GUIDANCE: Mapping[int, float] = {768: 2.9, 1024: 3.0, 1280: 3.2}
"""The published scale by width (MAR-B, L, H)."""

Heads = int | tuple[int, int] | None  # of both stacks, of encoder and decoder, or as published
HEAD = "diffloss.net."
OFFICIAL: Rules = (
    (r"^class_embedding\.", "class_emb."),
    (r"^null_condition$", "fake_latent"),
    (r"^token_in\.", "z_proj."),
    (r"^token_norm\.", "z_proj_ln."),
    (r"^(encoder|decoder)_positions$", r"\1_pos_embed_learned"),
    (r"^head_positions$", "diffusion_pos_embed_learned"),
    (r"^(encoder|decoder)\.", r"\1_blocks."),
    (r"^decoder_in\.", "decoder_embed."),
    (r"^head\.time1\.", f"{HEAD}time_embed.mlp.0."),
    (r"^head\.time2\.", f"{HEAD}time_embed.mlp.2."),
    (r"^head\.condition\.", f"{HEAD}cond_embed."),
    (r"^head\.enter\.", f"{HEAD}input_proj."),
    (r"^head\.leave\.", f"{HEAD}final_layer.linear."),
    (r"^head\.modulation\.", f"{HEAD}final_layer.adaLN_modulation.1."),
    (r"^head\.blocks\.(\d+)\.norm\.", rf"{HEAD}res_blocks.\1.in_ln."),
    (r"^head\.blocks\.(\d+)\.fc1\.", rf"{HEAD}res_blocks.\1.mlp.0."),
    (r"^head\.blocks\.(\d+)\.fc2\.", rf"{HEAD}res_blocks.\1.mlp.2."),
    (r"^head\.blocks\.(\d+)\.modulation\.", rf"{HEAD}res_blocks.\1.adaLN_modulation.1."),
)


def official_key(key: str) -> str:
    """The published name of a tensor of `MAR`."""
    return renamed(key, OFFICIAL)


def published(config: MARConfig) -> dict[str, Any]:
    """Sampling defaults of the published evaluation, but for its 256 steps, which gain little over 64."""
    scale = GUIDANCE.get(config.encoder_dim)
    guided = (
        {} if scale is None or config.num_classes == 1 else {"guidance_scale": scale, "guidance_schedule": "linear"}
    )
    return {
        "decoding": {"num_inference_steps": min(64, config.length), **guided},
        "quality": {word: min(steps, config.length) for word, steps in (("low", 16), ("medium", 32), ("high", 64))},
    }


def read_mar(source: Path, heads: Heads = None, patch: int = 1) -> tuple[MARConfig, dict[str, Tensor]]:
    """Sizes and weights, by our names, of an official file: its averaged weights (`model_ema`), or a bare state dict.

    Sizes are inferred from shapes, except `heads` of encoder and decoder, which the published widths decide where they
    are not given, and `patch`. Every key must be used: CheckpointError names those that are not.
    """
    with torch.serialization.safe_globals([Namespace]):  # training options beside the weights: plain attributes
        state = read_official(source, nested="model_ema")
    config = infer_mar(source, state, heads, patch)
    return config, translate(source, state, lambda: MAR(config), official_key)


def import_mar(
    source: Path,
    out: Path,
    tokenizer: Path,
    classes: Path | None = None,
    heads: Heads = None,
    patch: int = 1,
    licence: str = UNKNOWN_LICENCE,
    dtype: torch.dtype = torch.float32,
    card: Path | None = None,
) -> Imported:
    """Write the checkpoint directory `out` from an official file, as `read_mar` reads it.

    `tokenizer` is an imported KL tokenizer directory, referred to by relative path; `classes` a text file with one name
    per line (default "class 0", ...); `card` what an export wrote beside its weights.
    """
    config, state = read_mar(source, heads, patch)
    fitting_tokenizer(source, config, tokenizer)
    written = CheckpointConfig(
        family="mar",
        architecture=architecture_dict(config),
        tokenizer=Path(os.path.relpath(tokenizer, out)).as_posix(),
        classes=class_names(classes, config.num_classes),
        **description(card, source, licence, published(config)),
    )
    save_checkpoint(out, written, state, dtype)
    parameters = sum(value.numel() for value in state.values())
    return Imported(out, len(state), parameters, (), written.licence)


def infer_mar(source: Path, state: Mapping[str, Tensor], heads: Heads = None, patch: int = 1) -> MARConfig:
    """The architecture that the shapes of `state` show; CheckpointError for another layout."""
    length, decoder = shape_of(source, state, "diffusion_pos_embed_learned", 2)[-2:]
    slots, encoder = shape_of(source, state, "encoder_pos_embed_learned", 2)[-2:]
    token = shape_of(source, state, "z_proj.weight", 2)[1]
    side = isqrt(length)
    if side * side != length:
        raise CheckpointError(f"{source}: {length} positions are no square grid")
    if patch < 1 or token % patch**2:
        raise CheckpointError(f"{source}: tokens of {token} numbers are no {patch}x{patch} patches")
    if heads is None:
        heads = (_heads(source, encoder), _heads(source, decoder))
    encoder_heads, decoder_heads = (heads, heads) if isinstance(heads, int) else heads
    try:
        return MARConfig.from_dict(
            {
                "grid": (side, side),
                "patch": patch,
                "channels": token // patch**2,
                "num_classes": shape_of(source, state, "class_emb.weight")[0],
                "buffer": slots - length,
                "encoder_dim": encoder,
                "encoder_depth": numbered(state, "encoder_blocks."),
                "encoder_heads": encoder_heads,
                "decoder_dim": decoder,
                "decoder_depth": numbered(state, "decoder_blocks."),
                "decoder_heads": decoder_heads,
                "mlp_ratio": shape_of(source, state, "encoder_blocks.0.mlp.fc1.weight")[0] / encoder,
                "head_depth": numbered(state, f"{HEAD}res_blocks."),
                "head_width": shape_of(source, state, f"{HEAD}input_proj.weight")[0],
            }
        )
    except ValueError as error:
        raise CheckpointError(f"{source}: {error}") from None


def _heads(source: Path, dim: int) -> int:
    """Of the published size with this width."""
    for name in ("b", "l", "h"):
        if (config := MARConfig.preset(name)).encoder_dim == dim:
            return config.encoder_heads
    raise CheckpointError(f"{source}: no published size is {dim} wide: give the heads")
