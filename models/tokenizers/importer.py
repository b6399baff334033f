"""Official VQGAN weights (`vqgan_jax_strongaug.ckpt`) -> a tokenizer directory."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from models.architecture import architecture_dict
from models.checkpoint import CheckpointConfig, CheckpointError
from models.importing import UNKNOWN_LICENCE, Imported, description
from models.official import check_fits, numbered, read_official, shape_of
from models.tokenizers.vqgan import VQGAN
from models.tokenizers.vqgan_config import VQGANConfig
from models.weights import save_checkpoint


def import_vqgan_jax(
    source: Path,
    out: Path,
    resolution: int = 256,
    licence: str = UNKNOWN_LICENCE,
    dtype: torch.dtype = torch.float32,
    card: Path | None = None,
) -> Imported:
    """Write the tokenizer directory `out` from the PyTorch port of MaskGIT's VQGAN.

    Sizes are inferred from shapes, except `resolution` (pixels), which no weight shows; `card` is what an
    export wrote beside its weights. Every key must be known and used: CheckpointError names those that are not.
    """
    state = read_official(source, nested="state_dict")
    config = infer_vqgan(source, state, resolution)
    check_fits(source, state, lambda: VQGAN(config))
    written = CheckpointConfig(
        family="vqgan",
        architecture=architecture_dict(config),
        **description(card, source, licence, {}),
    )
    save_checkpoint(out, written, state, dtype)
    parameters = sum(value.numel() for value in state.values())
    return Imported(out, len(state), parameters, (), written.licence)


def infer_vqgan(source: Path, state: Mapping[str, Tensor], resolution: int) -> VQGANConfig:
    """The architecture that the shapes of `state` show; CheckpointError for another layout."""
    ch, in_channels = shape_of(source, state, "encoder.conv_in.weight")[:2]
    blocks = numbered(state, "encoder.down.0.block.")
    widths = [
        shape_of(source, state, f"encoder.down.{level}.block.{blocks - 1}.conv2.weight")[0]
        for level in range(numbered(state, "encoder.down."))
    ]
    codebook_size, z_channels = shape_of(source, state, "quantize.embedding.weight")
    shortcuts = [value for key, value in state.items() if "nin_shortcut" in key]
    try:
        return VQGANConfig(
            in_channels=in_channels,
            ch=ch,
            ch_mult=tuple(width // ch for width in widths),
            num_res_blocks=blocks,
            mid_blocks=numbered(state, "encoder.mid.block_"),
            z_channels=z_channels,
            codebook_size=codebook_size,
            resolution=resolution,
            shortcut="output" if all(s.shape[0] == s.shape[1] for s in shortcuts) else "input",
        )
    except ValueError as error:
        raise CheckpointError(f"{source}: {error}") from None
