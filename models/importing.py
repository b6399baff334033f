"""What an importer reports. Imports without torch."""

from dataclasses import dataclass
from pathlib import Path

UNKNOWN_LICENCE = "unknown (see the source repository)"


@dataclass(frozen=True)
class Imported:
    """A checkpoint written from an official weight file; every key of it was used or dropped."""

    directory: Path
    tensors: int
    parameters: int
    dropped: tuple[str, ...]
    licence: str

    def __str__(self) -> str:
        dropped = f", dropped {', '.join(self.dropped)}" if self.dropped else ""
        return (
            f"{self.directory}: {self.tensors} tensors, {self.parameters:,} parameters{dropped}; "
            f"licence: {self.licence}"
        )
