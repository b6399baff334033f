"""What a checkpoint is measured with: real pictures it was and was not trained on, and a classifier of them."""

from dataclasses import dataclass
from pathlib import Path

import torch

from models.checkpoint import read_config, tokenizer_directory
from models.tokenizers.vqgan_config import VQGANConfig
from training.data import load
from training.data.folder import Shape, fingerprint, prepare
from training.data.images import ImageSet
from training.data.listing import list_folder
from training.evaluate.classifier import Classifier, fit, load_classifier, save

STEPS = 2000  # of training a classifier for pictures of one's own
BATCH = 250
LEAST = 50  # held-out pictures, below which distances say nothing


class TooFewPictures(ValueError):
    """There is too little to measure with."""


@dataclass(frozen=True)
class Yardstick:
    """test: never seen in training, neither by the checkpoint nor by the classifier."""

    classifier: Classifier
    train: ImageSet
    test: ImageSet
    name: str


def fashion(data_dir: Path | None) -> Yardstick:
    """The classifier that ships, and the official splits. Raises MissingDataError."""
    train, test = (load("fashion", split, data_dir) for split in ("train", "test"))
    return Yardstick(load_classifier(), train, test, "Fashion-MNIST")


def own(checkpoint: Path, data: Path, cache: Path) -> Yardstick:
    """Pictures of one's own, split as in training; their classifier is trained once, into `cache`.

    Raises NoPictures, TooFewPictures, and ValueError where the classes are not the checkpoint's.
    """
    config = read_config(checkpoint)
    place = tokenizer_directory(checkpoint, config) if config.tokenizer else checkpoint
    sizes = VQGANConfig.from_dict(read_config(place).architecture)
    listing = list_folder(data)
    if config.classes and list(listing.classes) != config.classes:
        raise ValueError(
            f"{data} has the classes {', '.join(listing.classes)}, the checkpoint {', '.join(config.classes)}"
        )
    if len(listing.classes) < 2:
        raise TooFewPictures("distances are between features of a classifier, which needs two classes at least")
    shape = Shape(sizes.resolution, sizes.in_channels, config.training.get("aspect", "crop"))
    pictures = prepare(listing, shape, cache)
    if len(pictures.validation) < LEAST:
        raise TooFewPictures(f"{len(pictures.validation)} held-out pictures; distances need {LEAST} at least")
    path = cache / f"classifier-{fingerprint(listing, shape)}.safetensors"
    if not path.is_file():
        torch.manual_seed(5)
        network = Classifier(len(listing.classes), sizes.in_channels)
        fit(network, pictures.train, epochs=max(1, STEPS * BATCH // len(pictures.train)), seed=5)
        save(network, path)
    classifier = load_classifier(path, len(listing.classes), sizes.in_channels)
    return Yardstick(classifier, pictures.train, pictures.validation, data.resolve().name)
