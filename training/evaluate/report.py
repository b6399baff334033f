"""All numbers of one checkpoint."""

import time
import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.architecture import parse_architecture
from models.checkpoint import read_config, tokenizer_directory
from models.maskgit.config import UViTConfig
from models.maskgit.network import UViT
from models.spec import Sampling
from models.tokenizers.vqgan import VQGAN
from models.tokenizers.vqgan_config import VQGANConfig
from models.weights import load_module
from training.evaluate.metrics import (
    balanced_labels,
    reference,
    score_blurred,
    score_real,
    score_samples,
    score_tokenizer,
)
from training.evaluate.sampling import sample_images, wrap
from training.evaluate.yardstick import Yardstick


def load_tokenizer(place: Path) -> VQGAN:
    """A tokenizer checkpoint's network. Raises CheckpointError."""
    return load_module(VQGAN(VQGANConfig.from_dict(read_config(place).architecture)), place)


def load_pair(place: Path) -> tuple[UViT, VQGAN]:
    """A generator checkpoint's networks. Raises CheckpointError."""
    config = read_config(place)
    network = load_module(UViT(UViTConfig.from_dict(config.architecture)), place)
    return network, load_tokenizer(tokenizer_directory(place, config))


def changed(changes: Mapping[str, str]) -> dict[str, Any]:
    """Sampling values from text, each read as TOML or as a plain word."""
    values: dict[str, Any] = {}
    for key, text in changes.items():
        try:
            values[key] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            values[key] = text
    return values


def evaluate_checkpoint(
    place: Path, yardstick: Yardstick, count: int, seed: int, changes: Mapping[str, str]
) -> dict[str, Any]:
    """Scores of a checkpoint; a tokenizer's alone when `place` is one. Raises CheckpointError."""
    config = read_config(place)
    is_tokenizer = config.family == "vqgan"
    tokenizer = load_tokenizer(place if is_tokenizer else tokenizer_directory(place, config))
    classifier, test = yardstick.classifier, yardstick.test
    real = reference(classifier, yardstick.train, test)
    scores: dict[str, Any] = {
        "data": yardstick.name,
        "test": len(test),
        "tokenizer": asdict(score_tokenizer(tokenizer, classifier, real, test)),
    }
    if is_tokenizer:
        return scores
    decoding = dict(config.decoding) | changed(changes)
    sampling = parse_architecture(Sampling, decoding, "decoding")
    network, _ = load_pair(place)
    count = min(count, len(real.drawn))  # distances of clouds of different sizes do not compare
    labels = balanced_labels(len(config.classes), count)
    start = time.perf_counter()
    images = sample_images(wrap(network, tokenizer, sampling), labels, sampling, seed)
    took = time.perf_counter() - start
    return scores | {
        "real": asdict(score_real(real)),
        "blurred": asdict(score_blurred(classifier, real)),
        "samples": asdict(score_samples(classifier, real, images, labels)),
        "sampling": asdict(sampling),
        "count": count,
        "seed": seed,
        "seconds": round(took, 1),
    }
