"""The MCVD family: what `maskserve.families` finds. Torch loads with `load` only."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from models.checkpoint import CheckpointConfig, CheckpointError, checkpoint_hash
from models.decoder import IterativeDecoder
from models.defaults import Limits, read_defaults
from models.exporting import Exported
from models.family import Understood
from models.importing import Imported
from models.mcvd.config import MCVDConfig
from models.spec import CLIP_PARAMETERS, DecoderSpec, Footage

FAMILY = "mcvd"
MOST_FRAMES = 1000
FPS = 10.0
PARAMETERS = CLIP_PARAMETERS | {"num_inference_steps"}


def read_architecture(path: Path, config: CheckpointConfig) -> MCVDConfig:
    """CheckpointError, in one line that names the directory, for wrong fields."""
    try:
        return MCVDConfig.from_dict(config.architecture)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from None


def _import_mcvd(source: Path, out: Path, **options: Any) -> Imported:
    from models.mcvd.importer import import_mcvd

    return import_mcvd(source, out, **options)


class MCVDFamily:
    name = FAMILY
    importers: Mapping[str, Callable[..., Imported]] = MappingProxyType({"mcvd": _import_mcvd})
    exporters: Mapping[str, Callable[[Path, Path], Exported]] = MappingProxyType({})

    def spec(self, id: str, path: Path, config: CheckpointConfig) -> DecoderSpec:
        network = read_architecture(path, config)
        limits = Limits(PARAMETERS, network.train_steps, max_reuse=0, guidable=False)
        sampling, quality = read_defaults(path, config, limits)
        if sampling.block_steps:
            raise CheckpointError(f"{path}: decoding.block_steps are for requests to ask for")
        return DecoderSpec(
            id=id,
            family=self.name,
            modality="video",
            tasks=frozenset({"generate", "edit"}),
            size=(network.resolution, network.resolution),
            grid=(1, network.frames),
            classes=(),
            sampling=sampling,
            quality=quality,
            min_steps=1,
            max_steps=limits.max_steps,
            max_reuse=limits.max_reuse,
            guidable=limits.guidable,
            created=int((path / "config.json").stat().st_mtime),
            checkpoint=checkpoint_hash(path),
            licence=config.licence,
            noncommercial=config.noncommercial,
            parameters=PARAMETERS,
            footage=Footage(
                channels=network.channels,
                block=network.frames,
                past=network.past,
                future=network.future,
                tasks=network.tasks,
                most=MOST_FRAMES,
                fps=FPS,
            ),
            details={"metrics": dict(config.metrics)},
        )

    def understand(self, spec: DecoderSpec, prompt: str) -> Understood:
        """These models read no words."""
        return Understood(None, "")

    def load(self, spec: DecoderSpec, path: Path, device: str, dtype: str) -> IterativeDecoder:
        from models.mcvd.load import load_decoder

        return load_decoder(spec, path, device, dtype)


family = MCVDFamily()
