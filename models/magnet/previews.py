"""What a preview of a MAGNeT sequence lets one hear."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.magnet.sequence import MAGNeTSequence


@dataclass(frozen=True)
class Snapshot:
    """ids [K, T], of which the first `audible` codebooks have values; known bool [K, T]; written [K, T]: by which step.

    What is drawn may be drawn again until its codebook is done.
    """

    ids: Tensor
    audible: int
    loop: bool
    known: Tensor
    written: Tensor

    @classmethod
    def of(cls, seq: MAGNeTSequence) -> "Snapshot":
        state = seq.state
        done = torch.arange(len(state.ids)).unsqueeze(-1) < (seq.audible if seq.step else 0)
        return cls(state.ids.clone(), seq.audible, seq.request.loop, state.known | done, state.written.clone())

    @property
    def extra(self) -> dict[str, object]:
        """For `Artifact.extra`."""
        return {"known": self.known.numpy(), "order": self.written.numpy()}
