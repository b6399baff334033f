"""Sizes of the KL autoencoder. Imports without torch and without diffusers."""

from dataclasses import dataclass
from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from models.architecture import Architecture


@dataclass(frozen=True)
class KLConfig(Architecture):
    """Architecture of a `KLAutoencoder`; the defaults are the published KL-16 (LDM, arXiv 2112.10752).

    `resolution` is in pixels a side; `block_out_channels` and `attention` (in the encoder) go by level, each of which
    but the last halves the picture. Generators see latents times `scaling_factor`.
    """

    resolution: PositiveInt = 256
    in_channels: Literal[1, 3] = 3
    block_out_channels: tuple[PositiveInt, ...] = (128, 128, 256, 256, 512)
    attention: tuple[bool, ...] = (False, False, False, False, True)
    layers_per_block: PositiveInt = 2
    latent_channels: PositiveInt = 16
    norm_num_groups: PositiveInt = 32
    scaling_factor: PositiveFloat = 0.2325

    def __post_init__(self) -> None:
        if not self.block_out_channels or len(self.attention) != len(self.block_out_channels):
            raise ValueError("block_out_channels and attention differ in length, or are empty")
        for width in self.block_out_channels:
            if width % self.norm_num_groups:
                raise ValueError(f"width {width} is no multiple of norm_num_groups {self.norm_num_groups}")
        if self.resolution % self.factor:
            raise ValueError(f"resolution {self.resolution} is no multiple of {self.factor}")

    @property
    def codebook_size(self) -> int:
        """0: codes are latents."""
        return 0

    @property
    def factor(self) -> int:
        """Pixels per latent along one side."""
        return int(2 ** (len(self.block_out_channels) - 1))

    @property
    def grid(self) -> tuple[int, int]:
        """Latent rows and columns of an image of `resolution` pixels."""
        side = self.resolution // self.factor
        return side, side


KLConfig.presets = {
    "kl-16": {},
    "tiny": {
        "resolution": 16, "block_out_channels": (8, 8, 16), "attention": (False, False, True), "layers_per_block": 1,
        "latent_channels": 4, "norm_num_groups": 4,
    },
}  # fmt: skip
