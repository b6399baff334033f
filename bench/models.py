"""Networks to measure: a checkpoint directory, or presets with random weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from models.architecture import architecture_dict
from models.catalogue import Catalogue
from models.checkpoint import CheckpointConfig, read_config
from models.maskgit.config import UViTConfig
from models.maskgit.decoder import MaskGITDecoder
from models.maskgit.family import MaskGIT
from models.maskgit.network import UViT
from models.tokenizers.vqgan import VQGAN
from models.tokenizers.vqgan_config import VQGANConfig
from models.weights import save_checkpoint


def random_checkpoint(place: Path, preset: str) -> Path:
    """Write a servable directory with random weights."""
    torch.manual_seed(0)
    sizes, vq = UViTConfig.preset(preset), VQGANConfig.preset(preset)
    card = CheckpointConfig(
        family="maskgit",
        architecture=architecture_dict(replace(sizes, dropout=0.0)),
        tokenizer="tokenizer",
        classes=[f"class {i}" for i in range(sizes.num_classes)],
        licence="Apache-2.0",
    )
    save_checkpoint(place, card, UViT(sizes).state_dict())
    vq_card = CheckpointConfig(family="vqgan", architecture=architecture_dict(vq), licence="Apache-2.0")
    save_checkpoint(place / "tokenizer", vq_card, VQGAN(vq).state_dict())
    return place


@contextmanager
def small_checkpoint(trained: Path | None) -> Iterator[Path]:
    """The checkpoint given, else one of the preset `fashion` (8x8 tokens, under 8 M parameters)."""
    with TemporaryDirectory() as scratch:
        yield trained or random_checkpoint(Path(scratch) / "fashion", "fashion")


def load(directory: Path, device: str, dtype: str) -> MaskGITDecoder:
    [entry] = Catalogue.scan([directory]).entries.values()
    decoder = entry.family.load(entry.spec, entry.path, device, dtype)
    assert isinstance(decoder, MaskGITDecoder)
    return decoder


def official_size(device: str, dtype: str, preset: str) -> MaskGITDecoder:
    """Random weights of a named size; its tokenizer is a small stand-in, as only steps are measured."""
    torch.manual_seed(0)
    sizes = UViTConfig.preset(preset)
    with TemporaryDirectory() as scratch:
        place = random_checkpoint(Path(scratch), "tiny")
        spec = MaskGIT().spec("small", place, read_config(place))
    spec = replace(spec, id=preset, grid=sizes.grid, max_steps=64, classes=tuple(map(str, range(sizes.num_classes))))
    network = UViT(sizes)
    return MaskGITDecoder(spec, network, VQGAN(VQGANConfig.preset("tiny")), device, getattr(torch, dtype))
