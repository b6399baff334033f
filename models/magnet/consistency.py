"""Whether a MAGNeT checkpoint and its codec belong together. Imports without torch."""

from pathlib import Path

from models.checkpoint import CheckpointConfig, CheckpointError, read_config, tokenizer_directory
from models.defaults import Limits, read_defaults
from models.magnet.config import MAGNeTConfig
from models.magnet.decoding import Decoding
from models.spec import Sampling
from models.tokenizers.codec_config import CodecConfig
from models.tokenizers.codecs import read_codec

TWIN = "twin"
"""The folder of a checkpoint that holds the generator's autoregressive twin."""
TWIN_FAMILY = "magnet-twin"
"""Of its config.json."""
TWIN_DRAWS = frozenset({"guidance_scale", "temperature", "top_k", "top_p"})
"""What its decoding says."""


def read_architectures(path: Path, config: CheckpointConfig) -> tuple[MAGNeTConfig, CodecConfig]:
    """The sizes of network and codec, once they are known to fit each other.

    CheckpointError, in one line that names the directory, for wrong fields or sizes that disagree.
    """
    try:
        network = MAGNeTConfig.from_dict(config.architecture)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from None
    if network.terms != len(config.vocabulary):
        raise CheckpointError(
            f"{path}: architecture.terms is {network.terms}, but vocabulary has {len(config.vocabulary)}"
        )
    return network, fitting_codec(path, network, tokenizer_directory(path, config))


def read_twin(place: Path, path: Path) -> tuple[MAGNeTConfig, Sampling]:
    """Sizes of the twin in `place`, and how it draws. CheckpointError where it does not belong to the generator in
    `path`.
    """
    config, own = read_config(place), read_config(path)
    if config.family != TWIN_FAMILY:
        raise CheckpointError(f"{place}: a {config.family} is no {TWIN_FAMILY}")
    try:
        sizes, of = MAGNeTConfig.from_dict(config.architecture), MAGNeTConfig.from_dict(own.architecture)
    except ValueError as error:
        raise CheckpointError(f"{place}: {error}") from None
    shared = () if sizes.terms else ("text_dim",)  # of what one encoder makes for both
    sampling, _ = read_defaults(place, config, Limits(TWIN_DRAWS, max_steps=1, max_reuse=0))
    for field in ("codebooks", "codebook_size", "frame_rate", "text_encoder", "terms", *shared):
        if getattr(sizes, field) != getattr(of, field):
            raise CheckpointError(
                f"{place}: architecture.{field} is {getattr(sizes, field)}, but its generator has {getattr(of, field)}"
            )
    if config.vocabulary != own.vocabulary:
        raise CheckpointError(f"{place}: vocabulary is not that of its generator")
    if sizes.length < of.length:
        raise CheckpointError(f"{place}: architecture.seconds is {sizes.seconds}, but its generator has {of.seconds}")
    return sizes, sampling


def fitting_codec(path: Path, network: MAGNeTConfig, place: Path) -> CodecConfig:
    """The sizes of the codec in `place`. CheckpointError, which names `path`, where `network` needs another one."""
    codec = read_codec(place)
    for field in ("codebooks", "codebook_size", "frame_rate"):
        own, other = getattr(network, field), getattr(codec, field)
        if own != other:
            raise CheckpointError(f"{path}: architecture.{field} is {own}, but its tokenizer has {other}")
    return codec


def check_decoding(decoding: Decoding, network: MAGNeTConfig) -> None:
    """ValueError for steps that are not one number for each codebook."""
    if len(decoding.steps) != network.codebooks:
        raise ValueError(
            f"decoding.steps has {len(decoding.steps)} numbers, but there are {network.codebooks} codebooks"
        )
