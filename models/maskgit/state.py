"""The state of MaskGIT sequences: slot-indexed tensors, so that a step gathers its rows instead of looping."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from models.decoder import Sequence
from models.decoding.annealing import Annealed


@dataclass(eq=False)
class MaskGITSequence(Sequence):
    slot: int = -1
    kv: list[int] = field(default_factory=list)  # one per guidance branch, only inside a group
    encoded: bool = True  # false while the uploaded picture waits for the tokenizer
    finished: bool = False
    guided: bool = False
    joint: bool = True
    bounds: frozenset[int] = frozenset()

    @property
    def full_next(self) -> bool:
        return self.step in self.bounds


@dataclass(frozen=True)
class Snapshot:
    """What a preview shows: ids [L] with guesses where unknown, known [L], confidence and written [L] of the pool."""

    ids: Tensor
    known: Tensor
    confidence: Tensor
    written: Tensor

    @property
    def extra(self) -> dict[str, object]:
        """For `Artifact.extra`."""
        return {
            "known": self.known.cpu().numpy(),
            "confidence": self.confidence.cpu().numpy(),
            "order": self.written.cpu().numpy(),
        }


class StatePool:
    """Rows of equal shape for up to `capacity` sequences; grows by doubling. S is the capacity, L the grid."""

    def __init__(self, length: int, max_steps: int, nothing: Tensor) -> None:
        """`nothing` [D] is the condition of the unconditional branch; its device and type are the pool's."""
        device, self.nothing = nothing.device, nothing

        def rows(*shape: int, dtype: torch.dtype) -> Tensor:
            return torch.zeros(0, *shape, dtype=dtype, device=device)

        self.ids = rows(length, dtype=torch.long)  # mask id where unknown
        self.known = rows(length, dtype=torch.bool)
        self.order = rows(length, dtype=torch.long)  # this group's positions by confidence
        self.guess = rows(length, dtype=torch.long)  # likeliest token, for previews
        self.confidence = rows(length, dtype=torch.float32)  # its probability; that of the written one where known
        self.written = rows(length, dtype=torch.int16)  # by which step, from 1 on; 0 where given or unknown
        self.numbers = rows(2, dtype=torch.long)  # key, top_k
        self.condition = rows(len(nothing), dtype=nothing.dtype)  # what the network is asked for
        self.top_p = rows(dtype=torch.float32)
        self.annealed = rows(3, max_steps, dtype=torch.float32)  # the fields of `Annealed` per step
        self.free: list[int] = []
        self.warm: set[int] = set()  # slots with a temperature other than 1

    def take(self) -> int:
        if not self.free:
            self._grow()
        return self.free.pop()

    def give(self, slot: int) -> None:
        self.free.append(slot)

    def anneal(self, slot: int, annealed: Annealed) -> None:
        self.warm.discard(slot)
        if set(annealed.temperature) != {1.0}:
            self.warm.add(slot)
        table = torch.tensor((annealed.temperature, annealed.choice_temperature, annealed.guidance))
        self.annealed[slot, :, : table.shape[1]] = table

    @property
    def key(self) -> Tensor:
        return self.numbers[:, 0]

    @property
    def top_k(self) -> Tensor:
        return self.numbers[:, 1]

    def conditions(self, slots: Tensor, unconditional: Tensor) -> Tensor:
        """[B, D] of the branches at `slots` [B], of which `unconditional` [B] ask for nothing."""
        return torch.where(unconditional[:, None], self.nothing, self.condition[slots])

    @property
    def temperature(self) -> Tensor:
        return self.annealed[:, 0]

    @property
    def choice_temperature(self) -> Tensor:
        return self.annealed[:, 1]

    @property
    def guidance(self) -> Tensor:
        return self.annealed[:, 2]

    def _grow(self) -> None:
        old = len(self.ids)
        more = max(16, old)
        for name, value in vars(self).items():
            if isinstance(value, Tensor) and name != "nothing":
                setattr(self, name, torch.cat([value, value.new_zeros(more, *value.shape[1:])]))
        self.free.extend(range(old, old + more))
