"""Sizes of the masked-token U-ViT. Imports without torch."""

from dataclasses import dataclass

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from models.architecture import Architecture
from models.decoder import Condition


@dataclass(frozen=True)
class UViTConfig(Architecture):
    """Architecture of a `UViT`; the defaults are AutoNAT-L, whose weights ReCAP also uses.

    `depth` counts the in and out blocks together (the middle block comes on top), so it is even.
    `num_classes` does not count the null class that guidance needs. With `words` the condition is a caption: up to
    that many of `num_classes` terms.
    """

    codebook_size: PositiveInt = 1024
    grid: tuple[PositiveInt, PositiveInt] = (16, 16)
    num_classes: PositiveInt = 1000
    words: NonNegativeInt = 0
    dim: PositiveInt = 768
    depth: PositiveInt = 24
    heads: PositiveInt = 8
    mlp_ratio: PositiveFloat = 4.0
    qkv_bias: bool = False
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.depth % 2:
            raise ValueError(f"depth {self.depth} must be even: half in blocks, half out blocks")
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is no multiple of heads {self.heads}")

    @property
    def length(self) -> int:
        """Visual tokens L of one image."""
        return self.grid[0] * self.grid[1]

    @property
    def mask_id(self) -> int:
        """The id of a still unknown token: the row behind the codebook's."""
        return self.codebook_size

    @property
    def null_class(self) -> int:
        """The label of the unconditional branch: the row behind the classes'."""
        return self.num_classes

    def label(self, condition: Condition | None) -> int | list[int]:
        """A condition as a label of `UViT`: a class, or the terms of a caption filled up with -1."""
        if not self.words:
            return self.null_class if condition is None else condition  # type: ignore[return-value]  # checked before
        terms = (self.null_class,) if condition is None else condition
        assert isinstance(terms, tuple)
        return [*terms, *[-1] * (self.words - len(terms))]

    @property
    def blocks(self) -> int:
        """Transformer blocks including the middle one."""
        return self.depth + 1

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.dim // self.heads


UViTConfig.presets = {
    "autonat-l": {},
    "tiny": {
        "codebook_size": 32, "grid": (4, 4), "num_classes": 4, "dim": 32, "depth": 2, "heads": 4,
    },
    "fashion": {
        "codebook_size": 512, "grid": (8, 8), "num_classes": 10, "dim": 192, "depth": 4, "heads": 6,
    },
}  # fmt: skip
