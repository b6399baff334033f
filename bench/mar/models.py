"""MAR networks to measure: a checkpoint directory, or random weights of a named size."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import torch

from bench.mar.bare import BareLoop
from models.architecture import architecture_dict
from models.catalogue import Catalogue
from models.checkpoint import CheckpointConfig
from models.mar.config import MARConfig
from models.mar.decoder import MARDecoder
from models.mar.network import MAR
from models.spec import Sampling
from models.tokenizers.kl import KLAutoencoder
from models.tokenizers.kl_config import KLConfig
from models.weights import load_module, save_checkpoint

GUIDANCE = 2.9
WARM = Sampling(num_inference_steps=2, guidance_scale=GUIDANCE, diffusion_steps=4)  # what an engine learns costs from
SMALL = MARConfig(
    grid=(8, 8), channels=4, num_classes=10, buffer=16, encoder_dim=192, encoder_depth=4, encoder_heads=6,
    decoder_dim=192, decoder_depth=4, decoder_heads=6, head_depth=3, head_width=384, diffusion_steps=50,
)  # fmt: skip


def random_checkpoint(place: Path, sizes: MARConfig) -> Path:
    """Write a servable directory with random weights; its tokenizer is a small stand-in."""
    torch.manual_seed(0)
    side = sizes.grid[0] * sizes.patch * KLConfig.preset("tiny").factor
    kl = replace(KLConfig.preset("tiny"), resolution=side, latent_channels=sizes.channels)
    card = CheckpointConfig(
        family="mar",
        architecture=architecture_dict(sizes),
        tokenizer="tokenizer",
        classes=[f"class {i}" for i in range(sizes.num_classes)],
        decoding={
            "num_inference_steps": min(16, sizes.length), "guidance_scale": GUIDANCE, "guidance_schedule": "linear",
        },
        licence="Apache-2.0",
    )  # fmt: skip
    save_checkpoint(place, card, MAR(sizes).state_dict())
    tokenizer = CheckpointConfig(family="kl", architecture=architecture_dict(kl), licence="Apache-2.0")
    save_checkpoint(place / "tokenizer", tokenizer, KLAutoencoder(kl).state_dict())
    return place


@contextmanager
def small_checkpoint(trained: Path | None) -> Iterator[Path]:
    """The checkpoint given, else one with random weights for 8x8 tokens, of 6 M parameters."""
    with TemporaryDirectory() as scratch:
        yield trained or random_checkpoint(Path(scratch) / "small, random weights", SMALL)


@contextmanager
def large_checkpoint(quick: bool) -> Iterator[Path]:
    """Random weights at the published size (MAR-B, 256 tokens); `quick`: of the smallest."""
    preset, name = ("tiny", "tiny") if quick else ("b", "MAR-B")
    with TemporaryDirectory() as scratch:
        yield random_checkpoint(Path(scratch) / f"{name}, random weights", MARConfig.preset(preset))


def load(directory: Path, device: str, dtype: str) -> MARDecoder:
    [entry] = Catalogue.scan([directory]).entries.values()
    decoder = entry.family.load(entry.spec, entry.path, device, dtype)
    assert isinstance(decoder, MARDecoder)
    return decoder


def bare_loops(directory: Path, decoder: MARDecoder) -> dict[str, BareLoop]:
    """The direct loop over the layers as PyTorch has them, and over those that `decoder` made of them."""
    tokenizer = cast(KLAutoencoder, decoder.tokenizer)
    plain = load_module(MAR(decoder.config), directory).eval().requires_grad_(False)
    plain = plain.to(decoder.device, decoder.network.mask_token.dtype)
    return {
        "plain layers": BareLoop(plain, plain.head, tokenizer),
        "the engine's layers": BareLoop(decoder.network, decoder.stepper.head, tokenizer),
    }
