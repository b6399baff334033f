"""MAGNeT networks to measure: a checkpoint directory with its twin, or random weights of a named size."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from models.architecture import architecture_dict
from models.catalogue import Catalogue
from models.checkpoint import CheckpointConfig
from models.magnet.config import MAGNeTConfig
from models.magnet.consistency import TWIN, TWIN_FAMILY
from models.magnet.decoder import MAGNeTDecoder
from models.magnet.network import MAGNeT
from models.spec import Sampling
from models.tokenizers.codec_config import CodecConfig
from models.tokenizers.codecs import build_codec, codec_family
from models.tokenizers.encodec_config import EnCodecConfig
from models.tokenizers.spectral_config import SpectralConfig
from models.weights import save_checkpoint

TERMS = 12
FIRST, OTHERS = 20, 10  # steps of a codebook, as published
SMALL = MAGNeTConfig(
    codebooks=2, codebook_size=512, seconds=4.0, dim=192, depth=8, heads=6, text_dim=128, text_encoder="", terms=TERMS
)
"""That of the recipe `loops-magnet`."""
CODEC = SpectralConfig(codebooks=2)
OFFICIAL = replace(MAGNeTConfig.preset("small-10secs"), text_encoder="", terms=TERMS)
"""The published small model for 10 s, but for the T5 before it."""
OFFICIAL_CODEC = EnCodecConfig(filters=16, dimension=64, lstm_layers=1)
"""A small stand-in with its rate: only steps are measured."""


def random_checkpoint(place: Path, sizes: MAGNeTConfig, codec: CodecConfig) -> Path:
    """Write a servable directory with random weights, a twin of the same size in it."""
    torch.manual_seed(0)
    steps = [FIRST] + [OTHERS] * (sizes.codebooks - 1)
    card = CheckpointConfig(
        family="magnet",
        architecture=architecture_dict(sizes),
        tokenizer="tokenizer",
        vocabulary=[f"word{at}" for at in range(sizes.terms)],
        decoding={"codebook_steps": steps, "num_inference_steps": sum(steps), "guidance_scale": 3.0},
        licence="Apache-2.0",
    )
    save_checkpoint(place, card, MAGNeT(sizes).state_dict())
    other = {"family": TWIN_FAMILY, "tokenizer": None, "decoding": {"guidance_scale": 3.0}}
    save_checkpoint(place / TWIN, card.model_copy(update=other), MAGNeT(sizes).state_dict())
    autoencoder = build_codec(codec)
    for layer in autoencoder.quantizer.layers:
        layer.codebook.embed.normal_()
    codec_card = CheckpointConfig(
        family=codec_family(codec), architecture=architecture_dict(codec), licence="Apache-2.0"
    )
    save_checkpoint(place / "tokenizer", codec_card, autoencoder.state_dict())
    return place


@contextmanager
def small_checkpoint(trained: Path | None) -> Iterator[Path]:
    """The checkpoint given, else one of its size with random weights."""
    with TemporaryDirectory() as scratch:
        yield trained or random_checkpoint(Path(scratch) / "small, random weights", SMALL, CODEC)


def load(directory: Path, device: str, dtype: str) -> MAGNeTDecoder:
    [entry] = Catalogue.scan([directory]).entries.values()
    decoder = entry.family.load(entry.spec, entry.path, device, dtype)
    assert isinstance(decoder, MAGNeTDecoder)
    return decoder


def plain(sampling: Sampling) -> Sampling:
    """Without whatever makes it cheaper or better than the published sampler."""
    return replace(sampling, reuse=0, full_first=0, guidance_share=1.0, head_start=0.0, rescoring=0.0)
