"""Sizes of EnCodec. Imports without torch and without transformers."""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from models.architecture import Architecture
from models.checkpoint import CheckpointError, read_config

KIND = "encodec"


@dataclass(frozen=True)
class EnCodecConfig(Architecture):
    """Architecture of an `EnCodec` (arXiv 2210.13438); the defaults are the published music codec.

    `sample_rate` is in Hz; `ratios` are the decoder's strides, in its order. Each of `codebooks` refines what those
    before it leave. `pad_mode` is what convolutions see beyond both ends, which no weight shows.
    """

    sample_rate: PositiveInt = 32000
    channels: Literal[1, 2] = 1
    dimension: PositiveInt = 128
    filters: PositiveInt = 64
    residual_layers: PositiveInt = 1
    ratios: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (8, 5, 4, 4)
    lstm_layers: PositiveInt = 2
    kernel_size: PositiveInt = 7
    last_kernel_size: PositiveInt = 7
    residual_kernel_size: PositiveInt = 3
    dilation_base: PositiveInt = 2
    compress: PositiveInt = 2
    shortcut: bool = False
    causal: bool = False
    pad_mode: Literal["constant", "reflect"] = "constant"
    codebooks: PositiveInt = 4
    codebook_size: PositiveInt = 2048

    def __post_init__(self) -> None:
        if self.codebook_size & (self.codebook_size - 1):
            raise ValueError(f"codebook_size {self.codebook_size} is no power of two")
        if self.sample_rate < self.hop:
            raise ValueError(f"sample_rate {self.sample_rate} is less than the {self.hop} samples of a token")

    @property
    def hop(self) -> int:
        """Samples of a token."""
        return prod(self.ratios)

    @property
    def frame_rate(self) -> int:
        """Whole tokens of a second."""
        return self.sample_rate // self.hop

    def frames(self, samples: int) -> int:
        """Tokens of a waveform: the last may reach beyond its end."""
        return -(-samples // self.hop)


EnCodecConfig.presets = {
    "encodec-32khz": {},
    "encodec-16khz": {"sample_rate": 16000, "ratios": (8, 5, 4, 2)},
    "tiny": {
        "sample_rate": 64, "dimension": 8, "filters": 4, "ratios": (4, 2), "lstm_layers": 1, "codebook_size": 32,
    },
}  # fmt: skip


def read_encodec(place: Path) -> EnCodecConfig:
    """The sizes of the tokenizer directory `place`; CheckpointError, in one line, for anything else."""
    card = read_config(place)
    if card.family != KIND:
        raise CheckpointError(f"{place}: a {card.family} is no {KIND}")
    try:
        return EnCodecConfig.from_dict(card.architecture)
    except ValueError as error:
        raise CheckpointError(f"{place}: {error}") from None
