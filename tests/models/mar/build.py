"""The recorded fixtures of the MAR family, and random-weight networks and decoders of other sizes."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.layers.linear import pack_linears
from models.mar.config import MARConfig
from models.mar.decoder import MARDecoder
from models.mar.family import PARAMETERS
from models.mar.importer import read_mar
from models.mar.network import MAR
from models.mar.order import ChainNoise, reveal_order
from models.spec import DecoderSpec, Sampling
from models.tokenizers.kl import KLAutoencoder
from models.tokenizers.kl_config import KLConfig

FIXTURES = Path(__file__).parents[2] / "parity" / "mar"
RECORDED = json.loads((FIXTURES / "config.json").read_text())
HEADS = (RECORDED["model"]["encoder_num_heads"], RECORDED["model"]["decoder_num_heads"])
CHAIN = int(RECORDED["model"]["num_sampling_steps"])


def recorded(group: str) -> dict[str, Tensor]:
    """The tensors of one group, without its prefix."""
    found = load_file(FIXTURES / "tensors.safetensors")
    return {key.split(".", 1)[1]: value for key, value in found.items() if key.split(".")[0] == group}


def official_state(part: str) -> dict[str, Tensor]:
    """Official weights, float32: of the generator ("mar") or of its autoencoder ("vae")."""
    found = load_file(FIXTURES / "weights.safetensors")
    return {k.removeprefix(f"{part}."): v.float() for k, v in found.items() if k.startswith(f"{part}.")}


def official_network(place: Path) -> MAR:
    """The recorded network, by way of an official file in the folder `place`."""
    save_file(official_state("mar"), place / "mar.safetensors")
    config, state = read_mar(place / "mar.safetensors", HEADS, RECORDED["model"]["patch_size"])
    network = MAR(config)
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def random_network(config: MARConfig, seed: int = 0, packed: bool = True) -> MAR:
    """Weights large enough that everything matters, zero-initialised layers included."""
    torch.manual_seed(seed)
    network = MAR(config).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.copy_(torch.randn_like(parameter) * (2.0 / parameter.shape[-1]) ** 0.5)
    if packed and torch.backends.mkldnn.is_available():
        pack_linears(network)
    return network


def spec_of(config: MARConfig, side: int = 16, channels: int = 3) -> DecoderSpec:
    return DecoderSpec(
        id="tiny",
        family="mar",
        modality="image",
        tasks=frozenset({"generate", "edit", "variation"}),
        size=(side, side),
        grid=config.grid,
        classes=tuple(f"class {i}" for i in range(config.num_classes)),
        sampling=Sampling(num_inference_steps=4),
        quality={"low": 2, "medium": 4, "high": 8},
        min_steps=1,
        max_steps=config.length,
        max_reuse=4,
        guidable=True,
        created=0,
        checkpoint="0" * 16,
        licence="Apache-2.0",
        noncommercial=False,
        parameters=PARAMETERS,
        max_diffusion_steps=config.train_steps,
        details={"channels": channels},
    )


def decoder_of(
    network: MAR, noise: ChainNoise | None = None, order: Callable[[int, int], Tensor] = reveal_order
) -> MARDecoder:
    """Over a copy of `network`; its autoencoder is a small one of 16x16 pixels, whatever the grid."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tokenizer = KLAutoencoder(KLConfig.preset("tiny"))
    return MARDecoder(spec_of(network.config), deepcopy(network), tokenizer, noise=noise, order=order)


def tiny_decoder(seed: int = 0) -> MARDecoder:
    """Random weights, preset `tiny`."""
    return decoder_of(random_network(MARConfig.preset("tiny"), seed, packed=False))
