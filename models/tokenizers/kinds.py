"""The kinds of image tokenizer, by the `family` of their config.json. Imports without torch."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, Self

from models.tokenizers.diffusers_config import DiffusersVQConfig
from models.tokenizers.kl_config import KLConfig
from models.tokenizers.registry import Kind, family_of, read_sizes
from models.tokenizers.vqgan_config import VQGANConfig

if TYPE_CHECKING:
    from models.tokenizers.base import Tokenizer


class TokenizerConfig(Protocol):
    """The sizes that a generator and its training follow from."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read `architecture` of config.json; ValueError names wrong fields."""

    @property
    def resolution(self) -> int:
        """Pixels a side."""

    @property
    def in_channels(self) -> int:
        """Channels of the pictures on both sides: 1 or 3."""

    @property
    def codebook_size(self) -> int:
        """Number of different ids; 0 where codes are latents."""

    @property
    def grid(self) -> tuple[int, int]:
        """Token rows and columns of a picture."""

    @property
    def factor(self) -> int:
        """Pixels per token along one side."""


def _vqgan(config: VQGANConfig) -> "Tokenizer":
    from models.tokenizers.vqgan import VQGAN

    return VQGAN(config)


def _diffusers_vq(config: DiffusersVQConfig) -> "Tokenizer":
    from models.tokenizers.diffusers_vq import DiffusersVQ

    return DiffusersVQ(config)


def _kl(config: KLConfig) -> "Tokenizer":
    from models.tokenizers.kl import KLAutoencoder

    return KLAutoencoder(config)


KINDS: Mapping[str, Kind[TokenizerConfig, "Tokenizer"]] = MappingProxyType(
    {
        "vqgan": Kind(VQGANConfig, _vqgan),
        "diffusers-vq": Kind(DiffusersVQConfig, _diffusers_vq),
        "kl": Kind(KLConfig, _kl),
    }
)


def read_tokenizer(place: Path) -> TokenizerConfig:
    """The sizes of the tokenizer directory `place`; CheckpointError, in one line, for anything else."""
    return read_sizes(place, KINDS, "tokenizer")


def build_tokenizer(sizes: TokenizerConfig) -> "Tokenizer":
    """A network of these sizes with random weights. CheckpointError where a library that it needs is missing."""
    return KINDS[family_of(sizes, KINDS)].network(sizes)


def load_tokenizer(place: Path) -> "Tokenizer":
    """The network of the tokenizer directory `place` with its weights, on the CPU. Raises CheckpointError."""
    from models.weights import load_module

    return load_module(build_tokenizer(read_tokenizer(place)), place)
