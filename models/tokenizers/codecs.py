"""The kinds of codec, by the `family` of their config.json. Imports without torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from models.checkpoint import CheckpointError, read_config
from models.tokenizers.codec_config import CodecConfig
from models.tokenizers.encodec_config import EnCodecConfig
from models.tokenizers.spectral_config import SpectralConfig

if TYPE_CHECKING:
    from models.tokenizers.codec import Codec


@dataclass(frozen=True)
class CodecKind:
    """`network` builds what a `config` describes, with random weights."""

    config: type[CodecConfig]
    network: Callable[[Any], "Codec"]


def _encodec(config: EnCodecConfig) -> "Codec":
    from models.tokenizers.encodec import EnCodec

    return EnCodec(config)


def _spectral(config: SpectralConfig) -> "Codec":
    from models.tokenizers.spectral import SpectralCodec

    return SpectralCodec(config)


CODECS: Mapping[str, CodecKind] = MappingProxyType(
    {"encodec": CodecKind(EnCodecConfig, _encodec), "spectral-codec": CodecKind(SpectralConfig, _spectral)}
)


def codec_family(sizes: CodecConfig) -> str:
    """What config.json calls a codec of these sizes."""
    return next(name for name, kind in CODECS.items() if type(sizes) is kind.config)


def read_codec(place: Path) -> CodecConfig:
    """The sizes of the codec directory `place`; CheckpointError, in one line, for anything else."""
    card = read_config(place)
    if card.family not in CODECS:
        raise CheckpointError(f"{place}: a {card.family} is no codec; there are: {', '.join(sorted(CODECS))}")
    try:
        return CODECS[card.family].config.from_dict(card.architecture)
    except ValueError as error:
        raise CheckpointError(f"{place}: {error}") from None


def build_codec(sizes: CodecConfig) -> "Codec":
    """A network of these sizes with random weights."""
    return CODECS[codec_family(sizes)].network(sizes)


def load_codec(place: Path) -> "Codec":
    """The network of the codec directory `place` with its weights, on the CPU. Raises CheckpointError."""
    from models.weights import load_module

    return load_module(build_codec(read_codec(place)), place)
