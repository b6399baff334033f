"""The MAGNeT family: what `maskserve.families` finds. Torch loads with `load` only."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from models.checkpoint import CheckpointConfig, CheckpointError, checkpoint_hash
from models.decoder import IterativeDecoder
from models.defaults import Limits, read_defaults
from models.exporting import Exported
from models.family import Understood
from models.importing import Imported
from models.magnet.config import MAGNeTConfig
from models.magnet.consistency import TWIN, read_architectures, read_twin
from models.prompts import understand_caption
from models.spec import DecoderSpec, Sampling, Sound, shared_steps

FAMILY = "magnet"
MAX_STEPS, MAX_REUSE, MOST_TERMS = 400, 8, 64
TWIN_PARAMETERS = frozenset({"head_start", "rescoring"})
LIKE = (2, 1)  # steps of the first codebook and of each other, where config.json does not say

PARAMETERS = frozenset(
    {
        "num_inference_steps",
        "codebook_steps",
        "guidance_scale",
        "guidance_end",
        "guidance_share",
        "temperature",
        "cooling",
        "top_k",
        "top_p",
        "span_arrangement",
        "span_scoring",
        "reuse",
        "full_first",
    }
)


def _import_magnet(source: Path, out: Path, **options: Any) -> Imported:
    from models.magnet.importer import import_magnet

    return import_magnet(source, out, **options)


def _import_encodec(source: Path, out: Path, **options: Any) -> Imported:
    from models.tokenizers.encodec_importer import import_encodec

    return import_encodec(source, out, **options)


class MAGNeTFamily:
    name = FAMILY
    importers: Mapping[str, Callable[..., Imported]] = MappingProxyType(
        {"magnet": _import_magnet, "encodec": _import_encodec}
    )
    exporters: Mapping[str, Callable[[Path, Path], Exported]] = MappingProxyType({})

    def spec(self, id: str, path: Path, config: CheckpointConfig) -> DecoderSpec:
        network, codec = read_architectures(path, config)
        parameters = PARAMETERS
        if (path / TWIN).is_dir():
            read_twin(path / TWIN, path)
            parameters |= TWIN_PARAMETERS
        limits = Limits(parameters, MAX_STEPS, max_reuse=MAX_REUSE)
        sampling, quality = read_defaults(path, config, limits)
        return DecoderSpec(
            id=id,
            family=self.name,
            modality="audio",
            tasks=frozenset({"generate", "edit"}),
            size=(0, 0),
            grid=(network.codebooks, network.length),
            classes=(),
            vocabulary=tuple(config.vocabulary),
            most_words=MOST_TERMS,
            sampling=_with_shares(path, sampling, network),
            quality=quality,
            min_steps=network.codebooks,
            max_steps=limits.max_steps,
            max_reuse=limits.max_reuse,
            guidable=limits.guidable,
            created=int((path / "config.json").stat().st_mtime),
            checkpoint=checkpoint_hash(path),
            licence=config.licence,
            noncommercial=config.noncommercial,
            parameters=parameters,
            sound=Sound(
                rate=codec.sample_rate,
                channels=codec.channels,
                hop=codec.hop,
                span=network.span,
                most=network.length,
            ),
            details={"metrics": dict(config.metrics)},
        )

    def understand(self, spec: DecoderSpec, prompt: str) -> Understood:
        if spec.vocabulary:
            return understand_caption(prompt, spec)
        text = prompt.strip()
        return Understood(text or None, text)

    def load(self, spec: DecoderSpec, path: Path, device: str, dtype: str) -> IterativeDecoder:
        from models.magnet.load import load_decoder

        return load_decoder(spec, path, device, dtype)


def _with_shares(path: Path, sampling: Sampling, network: MAGNeTConfig) -> Sampling:
    """Steps of every codebook; their sum is the number of steps."""
    steps = sampling.codebook_steps
    if not steps:
        steps = shared_steps(sampling.num_inference_steps, (LIKE[0], *LIKE[1:] * (network.codebooks - 1)))
    if len(steps) != network.codebooks or min(steps) < 1 or sum(steps) > MAX_STEPS:
        raise CheckpointError(
            f"{path}: decoding.codebook_steps {list(steps)} are not {network.codebooks} numbers of steps, "
            f"{MAX_STEPS} in all at most"
        )
    return replace(sampling, codebook_steps=steps, num_inference_steps=sum(steps))


family = MAGNeTFamily()
