"""An `AutoencoderKL` that diffusers saved -> a tokenizer directory."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from models.architecture import architecture_dict
from models.checkpoint import CONFIG, CheckpointConfig, CheckpointError
from models.importing import UNKNOWN_LICENCE, Imported
from models.official import check_fits, read_official
from models.tokenizers.diffusers_folder import KIND, WEIGHTS, content_of, find_part
from models.tokenizers.kl import KLAutoencoder
from models.tokenizers.kl_config import KLConfig
from models.weights import save_checkpoint

FIXED: Mapping[str, Any] = {
    "act_fn": "silu",
    "mid_block_add_attention": True,
    "use_quant_conv": True,
    "use_post_quant_conv": True,
    "shift_factor": None,
    "latents_mean": None,
    "latents_std": None,
}
"""Entries of config.json that must have this value: what a `KLAutoencoder` is."""
READ = {
    "in_channels", "out_channels", "down_block_types", "up_block_types", "block_out_channels", "layers_per_block",
    "latent_channels", "norm_num_groups", "sample_size", "scaling_factor", "force_upcast",
}  # fmt: skip


def import_diffusers_kl(
    source: Path,
    out: Path,
    resolution: int | None = None,
    licence: str = UNKNOWN_LICENCE,
    dtype: torch.dtype = torch.float32,
) -> Imported:
    """Write the tokenizer directory `out` from what `diffusers.AutoencoderKL.save_pretrained` wrote.

    `source` is that folder, a pipeline's folder, or a file in either. `resolution` is in pixels a side and defaults to
    the config's `sample_size`. Every key must be known and used: CheckpointError names those that are not.
    """
    folder = source.parent if source.is_file() else source
    part = find_part(folder)
    if part is None:
        raise CheckpointError(f"{folder}: no config.json of a diffusers model, there or in vae")
    config = read_kl_sizes(part, resolution)
    state = read_official(part / WEIGHTS)
    check_fits(part / WEIGHTS, state, lambda: KLAutoencoder(config))
    card = CheckpointConfig(
        family="kl",
        architecture=architecture_dict(config),
        training={"imported_from": folder.resolve().name},
        licence=licence,
    )
    save_checkpoint(out, card, state, dtype)
    return Imported(out, len(state), sum(value.numel() for value in state.values()), (), licence)


def read_kl_sizes(part: Path, resolution: int | None = None) -> KLConfig:
    """Sizes of the `AutoencoderKL` in the folder `part`. CheckpointError, in one line, for what is not supported."""
    content, place = content_of(part), part / CONFIG
    if content.get(KIND) != "AutoencoderKL":
        raise CheckpointError(f"{place}: a MAR needs an AutoencoderKL, this is {content.get(KIND)}")
    side = resolution or content.get("sample_size")
    if side is None:
        raise CheckpointError(f"{place}: it has no sample_size: give the resolution in pixels")
    wrong = [f"{key} {content[key]}" for key, value in FIXED.items() if content.get(key, value) != value]
    unknown = sorted(key for key in content if not key.startswith("_") and key not in READ | FIXED.keys())
    wrong += [f"up_block_types {block}" for block in set(content["up_block_types"]) - {"UpDecoderBlock2D"}]
    if wrong or unknown:
        raise CheckpointError(f"{place}: not supported: {', '.join([*wrong, *unknown])}")
    if content["in_channels"] != content["out_channels"]:
        raise CheckpointError(
            f"{place}: in_channels is {content['in_channels']}, but out_channels {content['out_channels']}"
        )
    try:
        return KLConfig.from_dict(
            {
                "resolution": side,
                "attention": [block == "AttnDownEncoderBlock2D" for block in content["down_block_types"]],
                **{
                    key: content[key]
                    for key in ("in_channels", "block_out_channels", "layers_per_block", "latent_channels")
                },
                "norm_num_groups": content["norm_num_groups"],
                "scaling_factor": content["scaling_factor"],
            }
        )
    except ValueError as error:
        raise CheckpointError(f"{place}: {error}") from None
