"""From a checkpoint directory to a decoder."""

from pathlib import Path

import torch

from models.checkpoint import read_config, tokenizer_directory
from models.mar.consistency import read_architectures
from models.mar.decoder import MARDecoder
from models.mar.network import MAR
from models.spec import DecoderSpec
from models.tokenizers.kinds import load_tokenizer
from models.weights import load_module


def load_decoder(spec: DecoderSpec, path: Path, device: str, dtype: str) -> MARDecoder:
    """Read network and tokenizer. Raises CheckpointError with one line when a file does not fit."""
    config = read_config(path)
    sizes, _ = read_architectures(path, config)
    network = load_module(MAR(sizes), path)
    tokenizer = load_tokenizer(tokenizer_directory(path, config))
    return MARDecoder(spec, network, tokenizer, device, getattr(torch, dtype))
