"""What a preview of a MAR sequence shows."""

from dataclasses import dataclass

from torch import Tensor

from models.mar.sequence import MARSequence


@dataclass(frozen=True)
class Snapshot:
    """tokens [L, C], zeros where unknown; known bool [L]; written [L]: by which step."""

    tokens: Tensor
    known: Tensor
    written: Tensor

    @classmethod
    def of(cls, seq: MARSequence) -> "Snapshot":
        return cls(seq.tokens.clone(), seq.known_mask, seq.written.clone())

    @property
    def extra(self) -> dict[str, object]:
        """For `Artifact.extra`. Tokens come in random order: there is no confidence."""
        return {"known": self.known.cpu().numpy(), "order": self.written.cpu().numpy()}
