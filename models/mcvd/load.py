"""From a checkpoint directory to a decoder."""

from pathlib import Path

import torch

from models.checkpoint import read_config
from models.mcvd.decoder import MCVDDecoder
from models.mcvd.family import read_architecture
from models.mcvd.network import MCVD
from models.spec import DecoderSpec
from models.weights import load_module


def load_decoder(spec: DecoderSpec, path: Path, device: str, dtype: str) -> MCVDDecoder:
    """Raises CheckpointError with one line when a file does not fit."""
    network = load_module(MCVD(read_architecture(path, read_config(path))), path)
    return MCVDDecoder(spec, network, device, getattr(torch, dtype))
