"""The official KL-16 weights (`kl16.ckpt`) -> a tokenizer directory."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from models.architecture import architecture_dict
from models.checkpoint import CheckpointConfig, CheckpointError
from models.importing import UNKNOWN_LICENCE, Imported, description
from models.keys import Rules, renamed, translate
from models.official import numbered, read_official, shape_of
from models.tokenizers.kl import KLAutoencoder
from models.tokenizers.kl_config import KLConfig
from models.weights import save_checkpoint

OFFICIAL: Rules = (
    (r"\bdown_blocks\.", "down."),
    (r"\bup_blocks\.", "up."),
    (r"\bresnets\.(\d+)", r"block.\1"),
    (r"\bdownsamplers\.0\.", "downsample."),
    (r"\bupsamplers\.0\.", "upsample."),
    (r"\bmid_block\.block\.0\.", "mid.block_1."),
    (r"\bmid_block\.block\.1\.", "mid.block_2."),
    (r"\bmid_block\.attentions\.0\.", "mid.attn_1."),
    (r"\battentions\.", "attn."),
    (r"\bgroup_norm\.", "norm."),
    (r"\bto_([qkv])\.", r"\1."),
    (r"\bto_out\.0\.", "proj_out."),
    (r"\bconv_shortcut\.", "nin_shortcut."),
    (r"\bconv_norm_out\.", "norm_out."),
)


def official_key(levels: int, key: str) -> str:
    """The published name of a tensor of `KLAutoencoder`; the decoder's levels are counted from the other end there."""
    head, _, rest = key.partition("decoder.up_blocks.")
    if rest and not head:
        level, _, rest = rest.partition(".")
        key = f"decoder.up_blocks.{levels - 1 - int(level)}.{rest}"
    return renamed(key, OFFICIAL)


def import_kl(
    source: Path,
    out: Path,
    resolution: int = 256,
    licence: str = UNKNOWN_LICENCE,
    dtype: torch.dtype = torch.float32,
    card: Path | None = None,
) -> Imported:
    """Write the tokenizer directory `out` from an official file.

    Sizes are inferred from shapes, except `resolution` (pixels), which no weight shows. What belongs to the loss that
    it was trained with is dropped and reported; every other key must be used: CheckpointError names those that are not.
    """
    found = read_official(source, nested="model")
    dropped = tuple(key for key in found if key.startswith("loss."))
    state = {key: value for key, value in found.items() if key not in dropped}
    config = infer_kl(source, state, resolution)
    ours = translate(
        source, state, lambda: KLAutoencoder(config), partial(official_key, len(config.block_out_channels))
    )
    written = CheckpointConfig(
        family="kl", architecture=architecture_dict(config), **description(card, source, licence, {})
    )
    save_checkpoint(out, written, ours, dtype)
    return Imported(out, len(ours), sum(value.numel() for value in ours.values()), dropped, written.licence)


def infer_kl(source: Path, state: Mapping[str, Tensor], resolution: int) -> KLConfig:
    """The architecture that the shapes of `state` show; CheckpointError for another layout."""
    levels = range(numbered(state, "encoder.down."))
    try:
        return KLConfig.from_dict(
            {
                "resolution": resolution,
                "in_channels": shape_of(source, state, "encoder.conv_in.weight", 4)[1],
                "block_out_channels": [
                    shape_of(source, state, f"encoder.down.{level}.block.0.conv1.weight")[0] for level in levels
                ],
                "attention": [numbered(state, f"encoder.down.{level}.attn.") > 0 for level in levels],
                "layers_per_block": numbered(state, "encoder.down.0.block."),
                "latent_channels": shape_of(source, state, "post_quant_conv.weight")[0],
            }
        )
    except ValueError as error:
        raise CheckpointError(f"{source}: {error}") from None
