"""All numbers of one checkpoint."""

import time
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, replace
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
from training.data import load
from training.evaluate.classifier import load_classifier
from training.evaluate.metrics import (
    balanced_labels,
    reference,
    score_real,
    score_samples,
    score_tokenizer,
)
from training.evaluate.sampling import sample_images, wrap


def evaluate_checkpoint(
    place: Path, data_dir: Path | None, count: int, seed: int, changes: Mapping[str, str]
) -> dict[str, Any]:
    """Scores of a Fashion-MNIST checkpoint; a tokenizer's alone when `place` is one. Raises CheckpointError."""
    config = read_config(place)
    is_tokenizer = config.family == "vqgan"
    home = place if is_tokenizer else tokenizer_directory(place, config)
    tokenizer = load_module(VQGAN(VQGANConfig.from_dict(read_config(home).architecture)), home)
    classifier = load_classifier()
    test = load("fashion", "test", data_dir)
    real = reference(classifier, load("fashion", "train", data_dir), test)
    scores: dict[str, Any] = {"tokenizer": asdict(score_tokenizer(tokenizer, classifier, real, test))}
    if is_tokenizer:
        return scores
    sampling = parse_architecture(Sampling, config.decoding, "decoding")
    values = {key: tomllib.loads(f"value = {text}")["value"] for key, text in changes.items()}
    sampling = replace(sampling, **values)
    network = load_module(UViT(UViTConfig.from_dict(config.architecture)), place)
    labels = balanced_labels(len(config.classes), count)
    start = time.perf_counter()
    images = sample_images(wrap(network, tokenizer, sampling), labels, sampling, seed)
    took = time.perf_counter() - start
    return scores | {
        "real": asdict(score_real(real)),
        "samples": asdict(score_samples(classifier, real, images, labels)),
        "sampling": asdict(sampling),
        "count": count,
        "seconds": round(took, 1),
    }
