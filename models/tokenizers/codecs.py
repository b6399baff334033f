"""The kinds of codec, by the `family` of their config.json. Imports without torch."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from models.tokenizers.codec_config import CodecConfig
from models.tokenizers.encodec_config import EnCodecConfig
from models.tokenizers.registry import Kind, family_of, read_sizes
from models.tokenizers.spectral_config import SpectralConfig

if TYPE_CHECKING:
    from models.tokenizers.codec import Codec


def _encodec(config: EnCodecConfig) -> "Codec":
    from models.tokenizers.encodec import EnCodec

    return EnCodec(config)


def _spectral(config: SpectralConfig) -> "Codec":
    from models.tokenizers.spectral import SpectralCodec

    return SpectralCodec(config)


CODECS: Mapping[str, Kind[CodecConfig, "Codec"]] = MappingProxyType(
    {"encodec": Kind(EnCodecConfig, _encodec), "spectral-codec": Kind(SpectralConfig, _spectral)}
)


def codec_family(sizes: CodecConfig) -> str:
    """What config.json calls a codec of these sizes."""
    return family_of(sizes, CODECS)


def read_codec(place: Path) -> CodecConfig:
    """The sizes of the codec directory `place`; CheckpointError, in one line, for anything else."""
    return read_sizes(place, CODECS, "codec")


def build_codec(sizes: CodecConfig) -> "Codec":
    """A network of these sizes with random weights."""
    return CODECS[codec_family(sizes)].network(sizes)


def load_codec(place: Path) -> "Codec":
    """The network of the codec directory `place` with its weights, on the CPU. Raises CheckpointError."""
    from models.weights import load_module

    return load_module(build_codec(read_codec(place)), place)
