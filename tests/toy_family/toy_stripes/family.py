"""The family: what a checkpoint of stripes can do, what a prompt means to it, and how it is loaded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from models.architecture import parse_architecture
from models.checkpoint import CheckpointConfig, CheckpointError, checkpoint_hash
from models.exporting import Exported
from models.family import Understood
from models.importing import Imported
from models.prompts import understand_class
from models.spec import DecoderSpec, Sampling
from toy_stripes.checkpoint import palette
from toy_stripes.decoder import StripesDecoder


@dataclass(frozen=True)
class StripesConfig:
    side: int = 8
    cell: int = 4
    step_seconds: float = 0.0


class Stripes:
    name = "toy-stripes"
    importers: Mapping[str, Callable[..., Imported]] = {}
    exporters: Mapping[str, Callable[[Path, Path], Exported]] = {}

    def spec(self, id: str, path: Path, config: CheckpointConfig) -> DecoderSpec:
        try:
            shape = parse_architecture(StripesConfig, config.architecture)
            sampling = parse_architecture(Sampling, config.decoding, "decoding")
        except ValueError as error:
            raise CheckpointError(f"{path}: {error}") from None
        return DecoderSpec(
            id=id,
            family=self.name,
            modality="image",
            tasks=frozenset({"generate", "edit", "variation"}),
            size=(shape.side * shape.cell, shape.side * shape.cell),
            grid=(shape.side, shape.side),
            classes=tuple(config.classes),
            sampling=sampling,
            quality=dict(config.quality),
            min_steps=1,
            max_steps=shape.side**2,
            max_reuse=3,
            guidable=False,
            created=int((path / "config.json").stat().st_mtime),
            checkpoint=checkpoint_hash(path),
            licence=config.licence,
            noncommercial=config.noncommercial,
            details={"channels": 3, "step_seconds": shape.step_seconds},
        )

    def understand(self, spec: DecoderSpec, prompt: str) -> Understood:
        return understand_class(prompt, spec.classes)

    def load(self, spec: DecoderSpec, path: Path, device: str, dtype: str) -> StripesDecoder:
        return StripesDecoder(spec, palette(path), step_seconds=float(str(spec.details["step_seconds"])))


family = Stripes()
