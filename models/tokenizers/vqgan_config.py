"""Sizes of the convolutional VQ tokenizer. Imports without torch."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from models.architecture import Architecture


@dataclass(frozen=True)
class VQGANConfig(Architecture):
    """Architecture of a `VQGAN`; the defaults are the public ImageNet f=16 tokenizer.

    `shortcut` says what the 1x1 convolution of a block that changes width is applied to: its
    "output" (the released MaskGIT weights: the block's input is dropped there) or its "input"
    (an ordinary residual block). `patch` pixels a side are folded into channels before the first
    convolution and unfolded after the last (space to depth; 1: none). `normalize` puts features and
    codes on the unit sphere.
    """

    in_channels: PositiveInt = 3
    ch: PositiveInt = 128
    ch_mult: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1, 1, 2, 2, 4)
    num_res_blocks: PositiveInt = 2
    mid_blocks: PositiveInt = 2
    z_channels: PositiveInt = 256
    codebook_size: PositiveInt = 1024
    resolution: PositiveInt = 256
    shortcut: Literal["output", "input"] = "output"
    norm_groups: PositiveInt = 32
    normalize: bool = False
    patch: int = 1

    def __post_init__(self) -> None:
        if self.resolution % self.factor:
            raise ValueError(f"resolution {self.resolution} is no multiple of {self.factor}")
        for width in (self.ch, *self.widths):
            if width % self.norm_groups:
                raise ValueError(f"width {width} is no multiple of norm_groups {self.norm_groups}")

    @property
    def factor(self) -> int:
        """Pixels per token along one side: the patch, and each level but the last halves it."""
        return int(self.patch * 2 ** (len(self.ch_mult) - 1))

    @property
    def grid(self) -> tuple[int, int]:
        """Token rows and columns of an image of `resolution` pixels."""
        side = self.resolution // self.factor
        return side, side

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, highest resolution first."""
        return tuple(self.ch * multiplier for multiplier in self.ch_mult)


VQGANConfig.presets = {
    "imagenet-f16": {},
    "imagenet-f16-512": {"resolution": 512},
    "tiny": {
        "ch": 8, "ch_mult": (1, 1, 2), "num_res_blocks": 1, "mid_blocks": 1, "z_channels": 8,
        "codebook_size": 32, "resolution": 16, "shortcut": "input", "norm_groups": 4,
    },
    "fashion": {
        "in_channels": 1, "patch": 2, "ch": 64, "ch_mult": (1, 2), "num_res_blocks": 1,
        "mid_blocks": 1, "z_channels": 16, "codebook_size": 512, "resolution": 32,
        "shortcut": "input", "norm_groups": 8,
    },
}  # fmt: skip
