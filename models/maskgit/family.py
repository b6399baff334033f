"""The MaskGIT family: what `maskserve.families` finds. Torch loads with `load` only."""

from collections.abc import Callable, Mapping
from pathlib import Path

from models.architecture import parse_architecture
from models.checkpoint import (
    CheckpointConfig,
    checkpoint_hash,
    read_config,
    tokenizer_directory,
)
from models.decoder import IterativeDecoder
from models.family import Understood
from models.maskgit.config import UViTConfig
from models.prompts import understand_class
from models.spec import DecoderSpec, Sampling
from models.tokenizers.vqgan_config import VQGANConfig


class MaskGIT:
    name = "maskgit"
    importers: Mapping[str, Callable[..., None]] = {}

    def spec(self, id: str, path: Path, config: CheckpointConfig) -> DecoderSpec:
        network = UViTConfig.from_dict(config.architecture)
        tokenizer = VQGANConfig.from_dict(
            read_config(tokenizer_directory(path, config)).architecture
        )
        rows, columns = network.grid
        return DecoderSpec(
            id=id,
            family=self.name,
            modality="image",
            tasks=frozenset({"generate", "edit", "variation"}),
            size=(columns * tokenizer.factor, rows * tokenizer.factor),
            grid=network.grid,
            classes=tuple(config.classes),
            sampling=parse_architecture(Sampling, config.decoding, "decoding"),
            quality=dict(config.quality),
            min_steps=1,
            max_steps=min(network.length, 256),
            max_reuse=8,
            guidable=True,
            created=int((path / "config.json").stat().st_mtime),
            checkpoint=checkpoint_hash(path),
            licence=config.licence,
            noncommercial=config.noncommercial,
            details={"channels": tokenizer.in_channels, "metrics": dict(config.metrics)},
        )

    def understand(self, spec: DecoderSpec, prompt: str) -> Understood:
        return understand_class(prompt, spec.classes)

    def load(self, spec: DecoderSpec, path: Path, device: str, dtype: str) -> IterativeDecoder:
        from models.maskgit.load import load_decoder

        return load_decoder(spec, path, device, dtype)


family = MaskGIT()
