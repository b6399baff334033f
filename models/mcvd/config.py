"""Sizes of MCVD: a U-Net that removes noise from a block of frames, given frames around it. Imports without torch."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from models.architecture import Architecture
from models.spec import ClipTask

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Beta = Annotated[float, Field(gt=0.0, lt=1.0)]
ONE_HEAD = -1
MIN_WIDTH = 4  # of a norm's group


@dataclass(frozen=True)
class MCVDConfig(Architecture):
    """Architecture of an `MCVD`; the defaults are the concat model for moving digits (arXiv 2205.09853).

    A block is `frames` frames of `channels` x `resolution` x `resolution`; the network is shown `past` frames before it
    and `future` frames after it. Level l of the U-Net has `width` * `multipliers[l]` channels and half the side of the
    level above; it attends where its side is in `attention`, with heads of `head_channels` channels (-1: one head).
    With `spade` the frames enter every norm through `spade_dim` channels, without it they are channels of the input.

    In training all past frames are hidden with probability `mask_past`, all future ones with `mask_future`, by the same
    coin with `mask_together`; `past_embedding` tells the network of the former. `train_steps` noise levels follow from
    `betas` and, where these are linear, from their ends.
    """

    resolution: PositiveInt = 64
    channels: PositiveInt = 1
    frames: PositiveInt = 5
    past: PositiveInt = 5
    future: Annotated[int, Field(ge=0)] = 0
    width: Annotated[int, Field(ge=MIN_WIDTH)] = 64
    multipliers: tuple[PositiveInt, ...] = (1, 2, 3, 4)
    res_blocks: PositiveInt = 2
    attention: tuple[PositiveInt, ...] = (8, 16, 32)
    head_channels: int = 64
    dropout: Share = 0.1
    spade: bool = False
    spade_dim: PositiveInt = 128
    past_embedding: bool = False
    mask_past: Share = 0.0
    mask_future: Share = 0.0
    mask_together: bool = False
    betas: Literal["linear", "cosine"] = "linear"
    beta_noisiest: Beta = 0.02
    beta_cleanest: Beta = 1e-4
    train_steps: PositiveInt = 1000

    def __post_init__(self) -> None:
        if not self.multipliers:
            raise ValueError("multipliers names no level")
        least = 2 ** (len(self.multipliers) - 1)
        if self.resolution % least:
            raise ValueError(
                f"resolution {self.resolution} is no multiple of {least}, as {len(self.widths)} levels need"
            )
        if self.head_channels != ONE_HEAD and self.head_channels < 1:
            raise ValueError(f"head_channels {self.head_channels} is neither positive nor {ONE_HEAD}")
        attending = [width for width, side in zip(self.widths, self.sides, strict=True) if side in self.attention]
        for width in (*attending, self.widths[-1]):
            if 0 < self.head_channels < width and width % self.head_channels:
                raise ValueError(f"{width} channels are no multiple of head_channels {self.head_channels}")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels by level."""
        return tuple(self.width * multiplier for multiplier in self.multipliers)

    @property
    def sides(self) -> tuple[int, ...]:
        """Pixels a side by level."""
        return tuple(self.resolution // 2**level for level in range(len(self.multipliers)))

    def heads(self, width: int) -> int:
        """Of attention over `width` channels."""
        return 1 if self.head_channels == ONE_HEAD or width < self.head_channels else width // self.head_channels

    @property
    def signal_width(self) -> int:
        """Channels of what tells every block the noise level."""
        return 4 * self.width + (self.width // 2 if self.past_embedding else 0)

    @property
    def block_channels(self) -> int:
        """Channels of a block: its frames, colour by colour."""
        return self.channels * self.frames

    @property
    def past_channels(self) -> int:
        return self.channels * self.past

    @property
    def tasks(self) -> tuple[ClipTask, ...]:
        """Those whose hidden frames were hidden in training, too."""
        hides_past, hides_future = self.mask_past > 0.0, self.future == 0 or self.mask_future > 0.0
        fits: dict[ClipTask, bool] = {
            "prediction": hides_future,
            "interpolation": self.future > 0,
            "past": self.future > 0 and hides_past,
            "unconditional": hides_past and hides_future,
        }
        return tuple(task for task, fit in fits.items() if fit)

    @property
    def shown_channels(self) -> int:
        """Channels of all frames that the network is shown, past ones first."""
        return self.channels * (self.past + self.future)


_BAIR = {"channels": 3, "past": 2, "width": 192, "head_channels": 192}
_CITYSCAPES = {**_BAIR, "resolution": 128, "multipliers": (1, 1, 2, 3, 4), "dropout": 0.0}
_UCF = {"channels": 3, "frames": 4, "past": 4, "width": 288, "head_channels": 288}

MCVDConfig.presets = {
    "smmnist": {},
    "smmnist-spade": {"spade": True},
    "smmnist-general": {"future": 5, "mask_past": 0.5, "mask_future": 0.5},
    "kth": {"past": 10, "width": 96, "head_channels": 96},
    "kth-spade": {"past": 10, "width": 192, "head_channels": 192, "spade": True, "spade_dim": 192},
    "bair": _BAIR,
    "bair-spade": {**_BAIR, "spade": True},
    "cityscapes": _CITYSCAPES,
    "cityscapes-spade": {**_CITYSCAPES, "width": 256, "head_channels": 256, "spade": True},
    "ucf101": _UCF,
    "ucf101-spade": {**_UCF, "spade": True, "spade_dim": 192},
    "tiny": {
        "resolution": 16, "frames": 3, "past": 3, "future": 3, "width": 8, "multipliers": (1, 2), "res_blocks": 1,
        "attention": (8,), "head_channels": 8, "dropout": 0.0, "spade_dim": 8, "mask_past": 0.5, "mask_future": 0.5,
    },
}  # fmt: skip
