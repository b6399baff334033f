"""From a checkpoint directory to a decoder."""

from pathlib import Path

import torch

from models.checkpoint import CheckpointError, read_config, tokenizer_directory
from models.magnet.companion import Companion
from models.magnet.config import MAGNeTConfig
from models.magnet.consistency import TWIN, read_architectures, read_twin
from models.magnet.decoder import MAGNeTDecoder
from models.magnet.network import MAGNeT
from models.magnet.text import TermRows, TextEncoder, TextSource
from models.magnet.twin import Manner
from models.spec import DecoderSpec
from models.tokenizers.codecs import load_codec
from models.weights import load_module

TEXT = "text_encoder"
"""The folder of a checkpoint that holds its T5; without it the one of that name comes from the hub or its cache."""


def load_decoder(spec: DecoderSpec, path: Path, device: str, dtype: str) -> MAGNeTDecoder:
    """Read network, codec and text encoder. Raises CheckpointError with one line when a file does not fit."""
    config = read_config(path)
    sizes, _ = read_architectures(path, config)
    network, numbers = load_module(MAGNeT(sizes), path), getattr(torch, dtype)
    codec = load_codec(tokenizer_directory(path, config))
    text = TermRows(network.terms) if sizes.terms else _encoder(path, sizes, device)
    companion = _companion(path / TWIN, path, text, device, numbers) if (path / TWIN).is_dir() else None
    return MAGNeTDecoder(spec, network, codec, text, device, numbers, companion=companion)


def _encoder(path: Path, sizes: MAGNeTConfig, device: str) -> TextEncoder:
    place = path / TEXT
    text = TextEncoder(place if place.is_dir() else sizes.text_encoder, device)
    if text.dim != sizes.text_dim:
        raise CheckpointError(f"{path}: architecture.text_dim is {sizes.text_dim}, but its text encoder has {text.dim}")
    return text


def _companion(place: Path, path: Path, text: TextSource, device: str, dtype: torch.dtype) -> Companion:
    """The twin in `place`. It reads terms by its own rows, other prompts by the generator's encoder."""
    sizes, sampling = read_twin(place, path)
    network = load_module(MAGNeT(sizes), place)
    manner = Manner(sampling.guidance_scale, sampling.temperature, sampling.top_k, sampling.top_p)
    return Companion.of(network, TermRows(network.terms) if sizes.terms else text, manner, device, dtype)
