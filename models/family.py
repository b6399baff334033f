"""A family is a folder of models/ (or of another package) behind one entry point; torch loads only with `load`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from models.checkpoint import CheckpointConfig
from models.decoder import Condition, IterativeDecoder
from models.exporting import Exported
from models.importing import Imported
from models.spec import DecoderSpec

ENTRY_POINTS = "maskserve.families"


@dataclass(frozen=True)
class Understood:
    """A prompt as the model took it: `condition` goes into the request, `revised` back to the client."""

    condition: Condition | None
    revised: str


class PromptError(ValueError):
    """A prompt that the model cannot follow; the message lists what it could."""


class Family(Protocol):
    name: str
    importers: Mapping[str, Callable[..., Imported]]  # layout name -> function(source, out, **options)
    exporters: Mapping[str, Callable[[Path, Path], Exported]]  # layout name -> function(checkpoint, out)

    def spec(self, id: str, path: Path, config: CheckpointConfig) -> DecoderSpec: ...

    def understand(self, spec: DecoderSpec, prompt: str) -> Understood: ...

    def load(self, spec: DecoderSpec, path: Path, device: str, dtype: str) -> IterativeDecoder: ...


def families() -> dict[str, Family]:
    """Every installed family by name."""
    return {point.name: point.load() for point in entry_points(group=ENTRY_POINTS)}
