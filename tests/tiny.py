"""Servable checkpoints with random weights: small, written in milliseconds, the same for the same seed."""

from dataclasses import replace
from pathlib import Path

import torch

from models.architecture import architecture_dict
from models.checkpoint import CheckpointConfig
from models.magnet.config import MAGNeTConfig
from models.magnet.decoding import Decoding
from models.magnet.network import MAGNeT
from models.mar.config import MARConfig
from models.mar.network import MAR
from models.maskgit.config import UViTConfig
from models.maskgit.network import UViT
from models.mcvd.config import MCVDConfig
from models.mcvd.network import MCVD
from models.tokenizers.codec_config import CodecConfig
from models.tokenizers.codecs import build_codec, codec_family
from models.tokenizers.encodec_config import EnCodecConfig
from models.tokenizers.kl import KLAutoencoder
from models.tokenizers.kl_config import KLConfig
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


def tiny_mar_checkpoint(
    path: Path,
    name: str = "tiny-mar",
    seed: int = 0,
    network: MARConfig | None = None,
    tokenizer: KLConfig | None = None,
) -> Path:
    """The same of the MAR family: `path`/`name`, 16x16 pixels and 4x4 continuous tokens unless sizes are given."""
    sizes = network or MARConfig.preset("tiny")
    kl = tokenizer or KLConfig.preset("tiny")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator, autoencoder = MAR(sizes), KLAutoencoder(kl)
        for parameter in generator.parameters():  # the head's last layers start at zero
            parameter.data.copy_(torch.randn_like(parameter) * (1.0 / parameter.shape[-1]) ** 0.5)
    directory = path / name
    common = {"licence": "Apache-2.0", "training": {"recipe": "random weights"}}
    card = CheckpointConfig(
        family="mar",
        architecture=architecture_dict(replace(sizes, dropout=0.0)),
        tokenizer="tokenizer",
        classes=[*CLASSES, *(f"class {i}" for i in range(len(CLASSES), sizes.num_classes))][: sizes.num_classes],
        decoding={"num_inference_steps": 6, "guidance_scale": 2.0 if sizes.num_classes > 1 else 1.0},
        quality={"low": 2, "medium": 4, "high": 8},
        **common,
    )
    save_checkpoint(directory, card, generator.state_dict())
    kl_card = CheckpointConfig(family="kl", architecture=architecture_dict(kl), **common)
    save_checkpoint(directory / "tokenizer", kl_card, autoencoder.state_dict())
    return directory


def tiny_mcvd_checkpoint(path: Path, name: str = "tiny-mcvd", seed: int = 0, network: MCVDConfig | None = None) -> Path:
    """The same of the MCVD family: blocks of three frames of 16x16 grey pixels, all tasks, unless sizes are given."""
    sizes = network or MCVDConfig.preset("tiny")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator = MCVD(sizes)
        for parameter in generator.parameters():  # much of it begins as nothing
            fan = parameter[0].numel() if parameter.ndim > 1 else 100.0
            parameter.data.copy_(torch.randn_like(parameter) * fan**-0.5)
    directory = path / name
    card = CheckpointConfig(
        family="mcvd",
        architecture=architecture_dict(replace(sizes, dropout=0.0)),
        decoding={"num_inference_steps": 6},
        quality={"low": 2, "medium": 4, "high": 8},
        licence="Apache-2.0",
        training={"recipe": "random weights"},
    )
    save_checkpoint(directory, card, generator.state_dict())
    return directory


WORDS = ("piano", "organ", "bass", "drums", "slow", "fast")


def tiny_magnet_checkpoint(
    path: Path,
    name: str = "tiny-magnet",
    seed: int = 0,
    network: MAGNeTConfig | None = None,
    codec: CodecConfig | None = None,
    twin: bool = False,
) -> Path:
    """The same of the MAGNeT family: two seconds at 64 Hz, prompts of WORDS unless sizes are given."""
    sizes = network or replace(MAGNeTConfig.preset("tiny"), terms=len(WORDS))
    encodec = codec or EnCodecConfig.preset("tiny")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator, autoencoder, other = MAGNeT(sizes), build_codec(encodec), MAGNeT(sizes)
        for parameter in (*generator.parameters(), *other.parameters()):
            parameter.data.copy_(torch.randn_like(parameter) * (2.0 / parameter.shape[-1]) ** 0.5)
        for layer in autoencoder.quantizer.layers:
            layer.codebook.embed.normal_()
    directory = path / name
    common = {"licence": "Apache-2.0", "training": {"recipe": "random weights"}}
    card = CheckpointConfig(
        family="magnet",
        architecture=architecture_dict(sizes),
        tokenizer="tokenizer",
        vocabulary=[*WORDS, *(f"word {i}" for i in range(len(WORDS), sizes.terms))][: sizes.terms],
        decoding=Decoding(steps=(4, 2, 2, 2)[: sizes.codebooks]).defaults,
        quality={"low": 4, "medium": 10, "high": 20},
        **common,
    )
    save_checkpoint(directory, card, generator.state_dict(), torch.float32)
    codec_card = CheckpointConfig(family=codec_family(encodec), architecture=architecture_dict(encodec), **common)
    save_checkpoint(directory / "tokenizer", codec_card, autoencoder.state_dict(), torch.float32)
    if twin:
        other_card = {"family": "magnet-twin", "tokenizer": None, "decoding": {"guidance_scale": 2.0}, "quality": {}}
        twin_card = card.model_copy(update=other_card)
        save_checkpoint(directory / "twin", twin_card, other.state_dict(), torch.float32)
    return directory
