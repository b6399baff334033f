"""Sizes of MAGNeT: a masked transformer over parallel streams of codebook ids. Imports without torch."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from models.architecture import Architecture


@dataclass(frozen=True)
class MAGNeTConfig(Architecture):
    """Architecture of a `MAGNeT`; the defaults are the published small music model for 10 s (arXiv 2401.04577).

    Each of `codebooks` streams has `seconds` * `frame_rate` ids below `codebook_size`. Training masks `span` neighbours
    together. In all streams but the first, a token sees `context` neighbours on either side (-1: all). Texts are the
    last hidden states, `text_dim` wide, of the encoder of the T5 model `text_encoder`, or else sets of `terms` known
    terms, each a row of that width.
    """

    codebooks: PositiveInt = 4
    codebook_size: PositiveInt = 2048
    frame_rate: PositiveInt = 50
    seconds: PositiveFloat = 10.0
    span: PositiveInt = 3
    context: Annotated[int, Field(ge=-1)] = 5
    dim: Annotated[int, Field(ge=4, multiple_of=2)] = 1024
    depth: PositiveInt = 24
    heads: PositiveInt = 16
    mlp_ratio: PositiveFloat = 4.0
    text_encoder: str = "t5-base"
    text_dim: PositiveInt = 768
    terms: NonNegativeInt = 0

    def __post_init__(self) -> None:
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is no multiple of heads {self.heads}")
        if self.terms and self.text_encoder:
            raise ValueError(f"text_encoder {self.text_encoder} and terms exclude each other")
        if self.length < self.span:
            raise ValueError(f"{self.seconds} s are {self.length} tokens, less than a span of {self.span}")

    @property
    def length(self) -> int:
        """Tokens T of a stream: the position table ends there."""
        return round(self.seconds * self.frame_rate)

    @property
    def mask_id(self) -> int:
        """The id of a still unknown token: the row behind the codebook's."""
        return self.codebook_size

    @property
    def head_dim(self) -> int:
        """Channels E of one attention head."""
        return self.dim // self.heads

    def banded(self, codebook: int) -> bool:
        """Whether tokens of this stream, while it is made, see their neighbours alone."""
        return codebook > 0 and self.context >= 0


MEDIUM = {"dim": 1536, "depth": 48, "heads": 24}
SOUND = {"text_encoder": "t5-large", "text_dim": 1024}

MAGNeTConfig.presets = {
    "small-10secs": {},
    "medium-10secs": MEDIUM,
    "small-30secs": {"seconds": 30.0},
    "medium-30secs": {"seconds": 30.0, **MEDIUM},
    "audio-small": SOUND,
    "audio-medium": {**MEDIUM, **SOUND},
    "tiny": {
        "codebook_size": 32, "frame_rate": 8, "seconds": 2.0, "dim": 32, "depth": 2, "heads": 4, "text_dim": 16,
        "text_encoder": "",
    },
}  # fmt: skip
