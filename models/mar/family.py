"""The MAR family: what `maskserve.families` finds. Torch loads with `load` only."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from models.checkpoint import CheckpointConfig, checkpoint_hash
from models.decoder import IterativeDecoder
from models.defaults import Limits, read_defaults
from models.exporting import Exported
from models.family import Understood
from models.importing import Imported
from models.mar.consistency import read_architectures
from models.prompts import understand_class
from models.spec import DecoderSpec

MAX_STEPS, MAX_REUSE = 256, 8

PARAMETERS = frozenset(
    {
        "num_inference_steps",
        "guidance_scale",
        "guidance_schedule",
        "temperature",
        "schedule",
        "reuse",
        "full_first",
        "reuse_buffer",
        "diffusion_steps",
        "diffusion_reuse",
        "diffusion_clip",
    }
)


def _import_mar(source: Path, out: Path, **options: Any) -> Imported:
    from models.mar.importer import import_mar

    return import_mar(source, out, **options)


def _import_kl(source: Path, out: Path, **options: Any) -> Imported:
    from models.tokenizers.kl_importer import import_kl

    return import_kl(source, out, **options)


def _import_diffusers_kl(source: Path, out: Path, **options: Any) -> Imported:
    from models.tokenizers.kl_folder_importer import import_diffusers_kl

    return import_diffusers_kl(source, out, **options)


def _export_mar(directory: Path, out: Path) -> Exported:
    from models.mar.exporter import export_mar

    return export_mar(directory, out)


class MARFamily:
    name = "mar"
    importers: Mapping[str, Callable[..., Imported]] = MappingProxyType(
        {"mar": _import_mar, "kl": _import_kl, "diffusers-kl": _import_diffusers_kl}
    )
    exporters: Mapping[str, Callable[[Path, Path], Exported]] = MappingProxyType({"mar": _export_mar})

    def spec(self, id: str, path: Path, config: CheckpointConfig) -> DecoderSpec:
        network, tokenizer = read_architectures(path, config)
        limits = Limits(
            parameters=PARAMETERS,
            max_steps=min(network.length, MAX_STEPS),
            max_reuse=MAX_REUSE,
            guidable=network.num_classes > 1,
            max_diffusion_steps=network.train_steps,
        )
        sampling, quality = read_defaults(path, config, limits)
        return DecoderSpec(
            id=id,
            family=self.name,
            modality="image",
            tasks=frozenset({"generate", "edit", "variation"}),
            size=(tokenizer.resolution, tokenizer.resolution),
            grid=network.grid,
            classes=tuple(config.classes),
            sampling=replace(sampling, diffusion_steps=sampling.diffusion_steps or network.diffusion_steps),
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
            max_diffusion_steps=limits.max_diffusion_steps,
            details={
                "channels": tokenizer.in_channels,
                "metrics": dict(config.metrics),
            },
        )

    def understand(self, spec: DecoderSpec, prompt: str) -> Understood:
        return understand_class(prompt, spec.classes)

    def load(self, spec: DecoderSpec, path: Path, device: str, dtype: str) -> IterativeDecoder:
        from models.mar.load import load_decoder

        return load_decoder(spec, path, device, dtype)


family = MARFamily()
