"""Sizes of MAR: a masked autoencoder over continuous tokens with a diffusion head. Imports without torch."""

from dataclasses import dataclass

from pydantic import PositiveFloat, PositiveInt

from models.architecture import Architecture


@dataclass(frozen=True)
class MARConfig(Architecture):
    """Architecture of a `MAR`; the defaults are MAR-B for 256 px (arXiv 2406.11838).

    `grid` counts tokens, each of which covers `patch` x `patch` latents of `channels` channels. `buffer` slots in front
    of the tokens carry the class. `head_depth` and `head_width` are those of the diffusion MLP, which was
    trained on `train_steps` noise levels and visits `diffusion_steps` of them per token by default.
    """

    grid: tuple[PositiveInt, PositiveInt] = (16, 16)
    patch: PositiveInt = 1
    channels: PositiveInt = 16
    num_classes: PositiveInt = 1000
    buffer: PositiveInt = 64
    encoder_dim: PositiveInt = 768
    encoder_depth: PositiveInt = 12
    encoder_heads: PositiveInt = 12
    decoder_dim: PositiveInt = 768
    decoder_depth: PositiveInt = 12
    decoder_heads: PositiveInt = 12
    mlp_ratio: PositiveFloat = 4.0
    dropout: float = 0.1
    head_depth: PositiveInt = 6
    head_width: PositiveInt = 1024
    train_steps: PositiveInt = 1000
    diffusion_steps: PositiveInt = 100

    def __post_init__(self) -> None:
        for stack in ("encoder", "decoder"):
            dim, heads = getattr(self, f"{stack}_dim"), getattr(self, f"{stack}_heads")
            if dim % heads:
                raise ValueError(f"{stack}_dim {dim} is no multiple of {stack}_heads {heads}")
        if not 2 <= self.diffusion_steps <= self.train_steps:
            raise ValueError(f"diffusion_steps {self.diffusion_steps} is outside 2 to train_steps {self.train_steps}")

    @property
    def length(self) -> int:
        """Tokens L of one image."""
        return self.grid[0] * self.grid[1]

    @property
    def slots(self) -> int:
        """Rows of the full sequence: buffer and tokens."""
        return self.buffer + self.length

    @property
    def token_channels(self) -> int:
        """Numbers C of one token."""
        return self.channels * self.patch**2

    @property
    def null_class(self) -> int:
        """The label of the unconditional branch, which has a parameter of its own."""
        return self.num_classes


MARConfig.presets = {
    "b": {},
    "l": {
        "encoder_dim": 1024, "encoder_depth": 16, "encoder_heads": 16,
        "decoder_dim": 1024, "decoder_depth": 16, "decoder_heads": 16,
        "head_depth": 8, "head_width": 1280,
    },
    "h": {
        "encoder_dim": 1280, "encoder_depth": 20, "encoder_heads": 16,
        "decoder_dim": 1280, "decoder_depth": 20, "decoder_heads": 16,
        "head_depth": 12, "head_width": 1536,
    },
    "tiny": {
        "grid": (4, 4), "channels": 4, "num_classes": 4, "buffer": 4,
        "encoder_dim": 32, "encoder_depth": 2, "encoder_heads": 4,
        "decoder_dim": 32, "decoder_depth": 2, "decoder_heads": 4,
        "head_depth": 2, "head_width": 32, "diffusion_steps": 8,
    },
}  # fmt: skip
