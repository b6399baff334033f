"""From a checkpoint directory to a decoder."""

from pathlib import Path

import torch

from models.checkpoint import read_config, tokenizer_directory
from models.maskgit.config import UViTConfig
from models.maskgit.decoder import MaskGITDecoder
from models.maskgit.network import UViT
from models.spec import DecoderSpec
from models.tokenizers.vqgan import VQGAN
from models.tokenizers.vqgan_config import VQGANConfig
from models.weights import load_module


def load_decoder(spec: DecoderSpec, path: Path, device: str, dtype: str) -> MaskGITDecoder:
    """Read network and tokenizer. Raises CheckpointError with one line when a file does not fit."""
    config = read_config(path)
    network = UViT(UViTConfig.from_dict(config.architecture))
    load_module(network, path)
    place = tokenizer_directory(path, config)
    tokenizer = VQGAN(VQGANConfig.from_dict(read_config(place).architecture))
    load_module(tokenizer, place)
    return MaskGITDecoder(spec, network, tokenizer, device, getattr(torch, dtype))
