"""Specs and random-weight decoders for tests."""

import torch

from models.maskgit.config import UViTConfig
from models.maskgit.decoder import MaskGITDecoder
from models.maskgit.network import UViT
from models.spec import DecoderSpec, Sampling
from models.tokenizers.vqgan import VQGAN
from models.tokenizers.vqgan_config import VQGANConfig


def spec_of(config: UViTConfig, size: tuple[int, int], channels: int) -> DecoderSpec:
    return DecoderSpec(
        id="tiny",
        family="maskgit",
        modality="image",
        tasks=frozenset({"generate", "edit", "variation"}),
        size=size,
        grid=config.grid,
        classes=tuple(f"class {i}" for i in range(config.num_classes)),
        sampling=Sampling(num_inference_steps=8),
        quality={"low": 2, "medium": 4, "high": 8},
        min_steps=1,
        max_steps=config.length,
        max_reuse=4,
        guidable=True,
        created=0,
        checkpoint="0" * 16,
        licence="Apache-2.0",
        noncommercial=False,
        details={"channels": channels},
    )


def tiny_decoder(
    seed: int = 0, device: str = "cpu", dtype: torch.dtype = torch.float32, **sizes: object
) -> MaskGITDecoder:
    """A decoder with random weights (presets `tiny`); `sizes` replaces fields of the U-ViT."""
    torch.manual_seed(seed)
    base = UViTConfig.preset("tiny")
    config = UViTConfig(**{**vars(base), **sizes})  # type: ignore[arg-type]
    vq = VQGANConfig.preset("tiny")
    network = UViT(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3.0 if parameter.ndim > 1 else 1.0)
    return MaskGITDecoder(spec_of(config, (vq.resolution, vq.resolution), vq.in_channels), network, VQGAN(vq))
