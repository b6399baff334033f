"""Sizes of the spectral codec. Imports without torch."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from models.tokenizers.codec_config import CodecConfig

Depths = tuple[PositiveInt, PositiveInt]


@dataclass(frozen=True)
class SpectralConfig(CodecConfig):
    """Architecture of a `SpectralCodec`.

    Spectra have a `window` and a step of `stride` samples; a token stands for `spectra` of them. Depths are numbers of
    blocks: of the encoder before and behind the joining of spectra into tokens, of the decoder before and behind their
    parting. `rounds` of Griffin-Lim find phases.
    """

    sample_rate: PositiveInt = 16000
    channels: Literal[1] = 1
    window: Annotated[int, Field(ge=16, multiple_of=2)] = 1024
    stride: PositiveInt = 160
    spectra: PositiveInt = 2
    dimension: PositiveInt = 128
    encoder_width: PositiveInt = 160
    encoder_depths: Depths = (2, 3)
    decoder_width: PositiveInt = 256
    decoder_depths: Depths = (4, 4)
    mlp_ratio: PositiveInt = 3
    kernel_size: Annotated[int, Field(ge=1)] = 7
    rounds: PositiveInt = 16
    codebooks: PositiveInt = 4
    codebook_size: PositiveInt = 512

    def __post_init__(self) -> None:
        self.check()
        if self.dimension > self.spectra * self.bins:
            raise ValueError(f"dimension {self.dimension} is more than the {self.spectra * self.bins} of a token")
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size {self.kernel_size} is even")
        if self.window < 2 * self.stride or (self.window - self.stride) % 2:
            raise ValueError(f"window {self.window} is not twice stride {self.stride} or more, by an even number")

    @property
    def hop(self) -> int:
        return self.stride * self.spectra

    @property
    def floats_a_sample(self) -> int:
        """Windows overlap; some nine copies of each are at work while phases are found."""
        return 18 * self.window // self.stride

    @property
    def bins(self) -> int:
        """Frequencies of a spectrum."""
        return self.window // 2 + 1


SpectralConfig.presets = {
    "spectral-16khz": {},
    "tiny": {
        "window": 800, "stride": 160, "encoder_width": 8, "encoder_depths": (1, 1), "decoder_width": 8,
        "decoder_depths": (1, 1), "mlp_ratio": 2, "dimension": 8, "rounds": 2,
        "codebook_size": 32,
    },
}  # fmt: skip
