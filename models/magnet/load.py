"""From a checkpoint directory to a decoder."""

from pathlib import Path

import torch

from models.checkpoint import CheckpointError, read_config, tokenizer_directory
from models.magnet.consistency import read_architectures
from models.magnet.decoder import MAGNeTDecoder
from models.magnet.network import MAGNeT
from models.magnet.text import TermRows, TextEncoder
from models.spec import DecoderSpec
from models.tokenizers.encodec import load_encodec
from models.weights import load_module

TEXT = "text_encoder"
"""The folder of a checkpoint that holds its T5; without it the one of that name comes from the hub or its cache."""


def load_decoder(spec: DecoderSpec, path: Path, device: str, dtype: str) -> MAGNeTDecoder:
    """Read network, codec and text encoder. Raises CheckpointError with one line when a file does not fit."""
    config = read_config(path)
    sizes, _ = read_architectures(path, config)
    network = load_module(MAGNeT(sizes), path)
    codec = load_encodec(tokenizer_directory(path, config))
    if sizes.terms:
        return MAGNeTDecoder(spec, network, codec, TermRows(network.terms), device, getattr(torch, dtype))
    place = path / TEXT
    text = TextEncoder(place if place.is_dir() else sizes.text_encoder, device)
    if text.dim != sizes.text_dim:
        raise CheckpointError(f"{path}: architecture.text_dim is {sizes.text_dim}, but its text encoder has {text.dim}")
    return MAGNeTDecoder(spec, network, codec, text, device, getattr(torch, dtype))
