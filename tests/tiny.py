"""A servable checkpoint with random weights: small, written in milliseconds, the same for the same seed."""

from dataclasses import replace
from pathlib import Path

import torch

from models.architecture import architecture_dict
from models.checkpoint import CheckpointConfig
from models.maskgit.config import UViTConfig
from models.maskgit.network import UViT
from models.tokenizers.vqgan import VQGAN
from models.tokenizers.vqgan_config import VQGANConfig
from models.weights import save_checkpoint

CLASSES = ("shirt", "sneaker", "ankle boot", "bag")


def tiny_checkpoint(
    path: Path,
    name: str = "tiny",
    seed: int = 0,
    network: UViTConfig | None = None,
    tokenizer: VQGANConfig | None = None,
) -> Path:
    """Write `path`/`name` (16x16 pixels, 4x4 tokens unless sizes are given) and its tokenizer; returns the directory.

    The classes are CLASSES, repeated with numbers where the network has more.
    """
    sizes = network or UViTConfig.preset("tiny")
    vq = tokenizer or VQGANConfig.preset("tiny")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator, autoencoder = UViT(sizes), VQGAN(vq)
    for parameter in generator.parameters():  # far from uniform, so that every input shows in the logits
        parameter.data.mul_(3.0 if parameter.ndim > 1 else 1.0)
    directory = path / name
    common = {"licence": "Apache-2.0", "training": {"recipe": "random weights"}}
    card = CheckpointConfig(
        family="maskgit",
        architecture=architecture_dict(replace(sizes, dropout=0.0)),
        tokenizer="tokenizer",
        classes=[*CLASSES, *(f"class {i}" for i in range(len(CLASSES), sizes.num_classes))][: sizes.num_classes],
        decoding={"num_inference_steps": 8},
        quality={"low": 2, "medium": 4, "high": 8},
        **common,
    )
    save_checkpoint(directory, card, generator.state_dict())
    vq_card = CheckpointConfig(family="vqgan", architecture=architecture_dict(vq), **common)
    save_checkpoint(directory / "tokenizer", vq_card, autoencoder.state_dict())
    return directory
