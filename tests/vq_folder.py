"""Folders as diffusers saves them, with small random weights."""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, VQModel

LEVELS = 3
SMALL: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * LEVELS,
    "up_block_types": ("UpDecoderBlock2D",) * LEVELS,
    "block_out_channels": (8, 8, 16),
    "norm_num_groups": 4,
    "latent_channels": 4,
    "sample_size": 16,
}


def vq_model(seed: int = 0, **changes: Any) -> VQModel:
    """16 pixels, 4x4 tokens, 32 codes that are outputs of the encoder."""
    torch.manual_seed(seed)
    model = VQModel(**SMALL | {"num_vq_embeddings": 32, "vq_embed_dim": 6} | changes).eval()
    with torch.no_grad():
        latents = model.encode(torch.rand(8, model.config.in_channels, 16, 16) * 2 - 1).latents
    rows = latents.permute(0, 2, 3, 1).flatten(0, 2)
    model.quantize.embedding.weight.data = rows[torch.randperm(len(rows))[: model.config.num_vq_embeddings]]
    return model


def save_vq(folder: Path, seed: int = 0, **changes: Any) -> VQModel:
    model = vq_model(seed, **changes)
    model.save_pretrained(folder)
    return model


def save_kl(folder: Path, **changes: Any) -> AutoencoderKL:
    torch.manual_seed(0)
    model = AutoencoderKL(**SMALL | changes).eval()
    model.save_pretrained(folder)
    return model
