"""What a preview of a MAGNeT sequence lets one hear."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.decoder import GenerationRequest
from models.magnet.sequence import MAGNeTSequence
from models.tokenizers.codec import Given


@dataclass(frozen=True)
class Snapshot:
    """ids [K, T], of which the first `audible` codebooks have values; known bool [K, T]; written [K, T]: by which step.

    What is drawn may be drawn again until its codebook is done.
    """

    ids: Tensor
    audible: int
    request: GenerationRequest
    known: Tensor
    written: Tensor

    @classmethod
    def of(cls, seq: MAGNeTSequence) -> "Snapshot":
        state = seq.state
        done = torch.arange(len(state.ids)).unsqueeze(-1) < (seq.audible if seq.step else 0)
        return cls(
            state.ids.clone(),
            seq.audible,
            seq.request,
            state.known | done,
            state.written.clone(),
        )

    @property
    def extra(self) -> dict[str, object]:
        """For `Artifact.extra`."""
        return {"known": self.known.numpy(), "order": self.written.numpy()}


def given_of(request: GenerationRequest) -> Given | None:
    """What of an upload stays."""
    if request.waveform is None or request.mask is None:
        return None
    wave = torch.from_numpy(request.waveform.T.copy())
    return Given(wave, torch.from_numpy(request.mask[: wave.shape[1]].copy()))
