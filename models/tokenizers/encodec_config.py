"""Sizes of EnCodec. Imports without torch and without transformers."""

from dataclasses import dataclass
from math import prod
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from models.tokenizers.codec_config import CodecConfig


@dataclass(frozen=True)
class EnCodecConfig(CodecConfig):
    """Architecture of an `EnCodec` (arXiv 2210.13438); the defaults are the published music codec.

    `ratios` are the decoder's strides, in its order; `pad_mode` is what convolutions see beyond both ends, which no
    weight shows.
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
        self.check()

    @property
    def hop(self) -> int:
        """Samples of a token."""
        return prod(self.ratios)

    @property
    def floats_a_sample(self) -> int:
        return 8 * self.filters


EnCodecConfig.presets = {
    "encodec-32khz": {},
    "encodec-16khz": {"sample_rate": 16000, "ratios": (8, 5, 4, 2)},
    "tiny": {
        "sample_rate": 64, "dimension": 8, "filters": 4, "ratios": (4, 2), "lstm_layers": 1, "codebook_size": 32,
    },
}  # fmt: skip
