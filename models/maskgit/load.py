"""From a checkpoint directory to a decoder."""

from pathlib import Path

import torch

from models.checkpoint import read_config, tokenizer_directory
from models.maskgit.consistency import read_architectures
from models.maskgit.decoder import MaskGITDecoder
from models.maskgit.network import UViT
from models.spec import DecoderSpec
from models.tokenizers.kinds import load_tokenizer
from models.weights import load_module


def load_decoder(spec: DecoderSpec, path: Path, device: str, dtype: str) -> MaskGITDecoder:
    """Read network and tokenizer. Raises CheckpointError with one line when a file does not fit."""
    config = read_config(path)
    sizes, _ = read_architectures(path, config)
    network = load_module(UViT(sizes), path)
    tokenizer = load_tokenizer(tokenizer_directory(path, config))
    return MaskGITDecoder(spec, network, tokenizer, device, getattr(torch, dtype))
