"""A VQ that diffusers saved -> a tokenizer directory."""

from pathlib import Path

import torch

from models.architecture import architecture_dict
from models.checkpoint import CheckpointConfig, CheckpointError
from models.importing import UNKNOWN_LICENCE, Imported
from models.official import check_fits, read_official
from models.tokenizers.diffusers_folder import WEIGHTS, find_part, read_sizes
from models.tokenizers.diffusers_vq import DiffusersVQ
from models.weights import save_checkpoint


def import_diffusers_vq(
    source: Path,
    out: Path,
    resolution: int | None = None,
    licence: str = UNKNOWN_LICENCE,
    dtype: torch.dtype = torch.float32,
) -> Imported:
    """Write the tokenizer directory `out` from what `diffusers.VQModel.save_pretrained` wrote.

    `source` is that folder, a pipeline's folder, or a file in either. `resolution` is in pixels a side and defaults to
    the config's `sample_size`. Every key must be known and used: CheckpointError names those that are not.
    """
    folder = source.parent if source.is_file() else source
    part = find_part(folder)
    if part is None:
        raise CheckpointError(f"{folder}: no config.json of a diffusers model, there or in vqvae or vqgan")
    config = read_sizes(part, resolution)
    state = read_official(part / WEIGHTS)
    check_fits(part / WEIGHTS, state, lambda: DiffusersVQ(config))
    card = CheckpointConfig(
        family="diffusers-vq",
        architecture=architecture_dict(config),
        training={"imported_from": folder.resolve().name},
        licence=licence,
    )
    save_checkpoint(out, card, state, dtype)
    return Imported(out, len(state), sum(value.numel() for value in state.values()), (), licence)
