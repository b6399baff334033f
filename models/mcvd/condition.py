"""What a network knows of the frames around a block: constant through all steps of it, so it is computed once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.mcvd.norms import Maps


@dataclass(frozen=True)
class Condition:
    """Of B rows: frames [B, K, S, S], whether past ones are shown [B], and per SPADE norm its maps."""

    frames: Tensor
    past_shown: Tensor
    maps: tuple[Maps, ...] = ()

    @classmethod
    def stack(cls, parts: Sequence["Condition"]) -> "Condition":
        """The rows of all `parts`, one after the other."""
        if len(parts) == 1:
            return parts[0]
        maps = zip(*(part.maps for part in parts), strict=True)
        return cls(
            frames=torch.cat([part.frames for part in parts]),
            past_shown=torch.cat([part.past_shown for part in parts]),
            maps=tuple((torch.cat([g for g, _ in each]), torch.cat([b for _, b in each])) for each in maps),
        )

    @property
    def nbytes(self) -> int:
        return sum(t.nbytes for t in (self.frames, self.past_shown, *(t for each in self.maps for t in each)))
