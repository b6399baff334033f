"""The MaskGIT family: what `maskserve.families` finds. Torch loads with `load` only."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from models.checkpoint import CheckpointConfig, checkpoint_hash
from models.decoder import IterativeDecoder
from models.defaults import Limits, read_defaults
from models.exporting import Exported
from models.family import Understood
from models.importing import Imported
from models.maskgit.consistency import read_architectures
from models.prompts import understand_caption, understand_class
from models.spec import TOKEN_PARAMETERS, DecoderSpec

MAX_STEPS, MAX_REUSE = 256, 8


def _import_autonat(source: Path, out: Path, **options: Any) -> Imported:
    from models.maskgit.importer import import_autonat

    return import_autonat(source, out, **options)


def _import_vqgan(source: Path, out: Path, **options: Any) -> Imported:
    from models.tokenizers.importer import import_vqgan_jax

    return import_vqgan_jax(source, out, **options)


def _import_diffusers_vq(source: Path, out: Path, **options: Any) -> Imported:
    from models.tokenizers.diffusers_importer import import_diffusers_vq

    return import_diffusers_vq(source, out, **options)


def _export_autonat(directory: Path, out: Path) -> Exported:
    from models.maskgit.exporter import export_autonat

    return export_autonat(directory, out)


def _export_vqgan(directory: Path, out: Path) -> Exported:
    from models.tokenizers.exporter import export_vqgan_jax

    return export_vqgan_jax(directory, out)


class MaskGIT:
    name = "maskgit"
    importers: Mapping[str, Callable[..., Imported]] = MappingProxyType(
        {"autonat": _import_autonat, "vqgan-jax": _import_vqgan, "diffusers-vq": _import_diffusers_vq}
    )
    exporters: Mapping[str, Callable[[Path, Path], Exported]] = MappingProxyType(
        {"autonat": _export_autonat, "vqgan-jax": _export_vqgan}
    )

    def spec(self, id: str, path: Path, config: CheckpointConfig) -> DecoderSpec:
        network, tokenizer = read_architectures(path, config)
        limits = Limits(TOKEN_PARAMETERS, min(network.length, MAX_STEPS), MAX_REUSE)
        sampling, quality = read_defaults(path, config, limits)
        rows, columns = network.grid
        return DecoderSpec(
            id=id,
            family=self.name,
            modality="image",
            tasks=frozenset({"generate", "edit", "variation"}),
            size=(columns * tokenizer.factor, rows * tokenizer.factor),
            grid=network.grid,
            classes=tuple(config.classes),
            vocabulary=tuple(config.vocabulary),
            most_words=network.words,
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
            details={"channels": tokenizer.in_channels, "metrics": dict(config.metrics)},
        )

    def understand(self, spec: DecoderSpec, prompt: str) -> Understood:
        if spec.vocabulary:
            return understand_caption(prompt, spec)
        return understand_class(prompt, spec.classes)

    def load(self, spec: DecoderSpec, path: Path, device: str, dtype: str) -> IterativeDecoder:
        from models.maskgit.load import load_decoder

        return load_decoder(spec, path, device, dtype)


family = MaskGIT()
