"""Sizes of a `VQModel` of the diffusers library. Imports without torch and without diffusers."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from models.architecture import Architecture

Down = Literal["DownEncoderBlock2D", "AttnDownEncoderBlock2D"]
Up = Literal["UpDecoderBlock2D", "AttnUpDecoderBlock2D"]


@dataclass(frozen=True)
class DiffusersVQConfig(Architecture):
    """Architecture of a `DiffusersVQ`: `resolution` in pixels a side, the rest as diffusers names it.

    Defaults are those of `diffusers.VQModel`. `vq_embed_dim` None: `latent_channels`.
    """

    resolution: PositiveInt
    in_channels: Literal[1, 3] = 3
    down_block_types: Annotated[tuple[Down, ...], Field(min_length=1)] = ("DownEncoderBlock2D",)
    up_block_types: tuple[Up, ...] = ("UpDecoderBlock2D",)
    block_out_channels: tuple[PositiveInt, ...] = (64,)
    layers_per_block: PositiveInt = 1
    act_fn: Literal["silu", "swish", "mish", "gelu", "relu"] = "silu"
    latent_channels: PositiveInt = 3
    num_vq_embeddings: PositiveInt = 256
    norm_num_groups: PositiveInt = 32
    vq_embed_dim: PositiveInt | None = None
    mid_block_add_attention: bool = True

    def __post_init__(self) -> None:
        levels = {len(self.down_block_types), len(self.up_block_types), len(self.block_out_channels)}
        if len(levels) > 1:
            raise ValueError("down_block_types, up_block_types and block_out_channels differ in length")
        for width in self.block_out_channels:
            if width % self.norm_num_groups:
                raise ValueError(f"width {width} is no multiple of norm_num_groups {self.norm_num_groups}")
        if self.resolution % self.factor:
            raise ValueError(f"resolution {self.resolution} is no multiple of {self.factor}")

    @property
    def codebook_size(self) -> int:
        """Number of codes."""
        return self.num_vq_embeddings

    @property
    def factor(self) -> int:
        """Pixels per token along one side: each level but the last halves it."""
        return int(2 ** (len(self.block_out_channels) - 1))

    @property
    def grid(self) -> tuple[int, int]:
        """Token rows and columns of an image of `resolution` pixels."""
        side = self.resolution // self.factor
        return side, side
