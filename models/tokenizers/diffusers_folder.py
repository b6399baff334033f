"""A folder that diffusers saved: which part of it holds the autoencoder, and its sizes. Imports without torch."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from models.architecture import parse_architecture
from models.checkpoint import CONFIG, CheckpointError
from models.tokenizers.diffusers_config import DiffusersVQConfig

WEIGHTS = "diffusion_pytorch_model.safetensors"
PARTS = ("", "vqvae", "vqgan", "movq", "vae")  # the folder itself, or where a pipeline keeps its autoencoder
KIND = "_class_name"  # the entry of config.json that every diffusers model has
WITHOUT_EFFECT = {"out_channels", "sample_size", "norm_type", "scaling_factor", "lookup_from_codebook", "force_upcast"}
"""Known entries that are checked or used elsewhere, or that change nothing between pixels and ids."""


def find_part(folder: Path) -> Path | None:
    """The folder, or a pipeline's subfolder, with a diffusers autoencoder; None when there is none."""
    return next((folder / part for part in PARTS if KIND in content_of(folder / part)), None)


def read_sizes(part: Path, resolution: int | None = None, fallback: int | None = None) -> DiffusersVQConfig:
    """Sizes of the VQ in the folder `part`, as `find_part` returns it.

    Pixels a side are `resolution`, else the config's `sample_size`, else `fallback`. CheckpointError, in one line,
    for a model that is no VQ, and for entries that are unknown or not supported.
    """
    content, place = content_of(part), part / CONFIG
    if content.get(KIND) != "VQModel":
        raise CheckpointError(f"{place}: {_refusal(str(content.get(KIND)))}")
    side = resolution or content.get("sample_size") or fallback
    if side is None:
        raise CheckpointError(f"{place}: it has no sample_size: give the resolution in pixels")
    if content.get("norm_type", "group") != "group":
        raise CheckpointError(f"{place}: norm_type {content['norm_type']} is not supported, only group")
    channels = content.get("in_channels", 3), content.get("out_channels", 3)
    if channels[0] != channels[1]:
        raise CheckpointError(f"{place}: in_channels is {channels[0]}, but out_channels {channels[1]}")
    known = {field.name for field in fields(DiffusersVQConfig)}
    values = {key: value for key, value in content.items() if not key.startswith("_") and key not in WITHOUT_EFFECT}
    if strangers := sorted(values.keys() - known | values.keys() & {"resolution"}):
        raise CheckpointError(f"{place}: not supported: {', '.join(strangers)}")
    try:
        return parse_architecture(DiffusersVQConfig, values | {"resolution": side}, "config")
    except ValueError as error:
        raise CheckpointError(f"{place}: {error}") from None


def _refusal(kind: str) -> str:
    if kind.startswith("Autoencoder"):
        return f"{kind} is continuous: a MAR can use it (layout diffusers-kl), a masked-token generator needs a VQ"
    return f"{kind} is no tokenizer; a masked-token generator needs a VQModel"


def content_of(folder: Path) -> dict[str, Any]:
    """config.json as it is; empty when it cannot be read as a JSON object."""
    try:
        content = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
