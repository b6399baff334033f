"""What a checkpoint is measured with: real pictures it was and was not trained on, and perhaps a classifier of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from models.checkpoint import read_config, tokenizer_directory
from models.tokenizers.kinds import read_tokenizer
from training.data import load
from training.data.folder import Shape, fingerprint, prepare
from training.data.images import ImageSet
from training.data.listing import list_folder
from training.evaluate.classifier import Classifier, fit, load_classifier, save

STEPS = 2000  # of training a classifier for pictures of one's own
BATCH = 250
FASHION = "Fashion-MNIST"
LEAST = 50  # held-out pictures, below which distances say nothing


class TooFewPictures(ValueError):
    """There is too little to measure with."""


@dataclass(frozen=True)
class Yardstick:
    """test: never seen in training, neither by the checkpoint nor by the classifier, which only `cls` needs."""

    classifier: Classifier | None
    train: ImageSet
    test: ImageSet
    name: str


def fashion(data_dir: Path | None, classify: bool = True) -> Yardstick:
    """The classifier that ships, and the official splits. Raises MissingDataError."""
    train, test = (load("fashion", split, data_dir) for split in ("train", "test"))
    return Yardstick(load_classifier() if classify else None, train, test, FASHION)


def own(checkpoint: Path, data: Path, cache: Path, classify: bool = True) -> Yardstick:
    """Pictures of one's own, split as in training; their classifier, if wanted, is trained once, into `cache`.

    Raises NoPictures, TooFewPictures, and ValueError where the classes are not the checkpoint's.
    """
    config = read_config(checkpoint)
    place = tokenizer_directory(checkpoint, config) if config.tokenizer else checkpoint
    sizes = read_tokenizer(place)
    listing = list_folder(data)
    if config.vocabulary and not listing.classes:
        listing = replace(listing, known=tuple(config.vocabulary), most=config.architecture["words"])
    elif config.tokenizer and list(listing.classes) != config.classes:
        raise ValueError(f"{data} has {_named(listing.classes)}, the checkpoint {_named(config.classes)}")
    if classify and len(listing.conditions) < 2:
        raise TooFewPictures("the features `cls` are of a classifier, which needs two classes: take other --features")
    shape = Shape(sizes.resolution, sizes.in_channels, config.training.get("aspect", "crop"))
    pictures = prepare(listing, shape, cache)
    if len(pictures.validation) < LEAST:
        raise TooFewPictures(f"{len(pictures.validation)} held-out pictures; distances need {LEAST} at least")
    path = cache / f"classifier-{fingerprint(listing, shape)}.safetensors"
    classifier = _trained(pictures.train, path) if classify else None
    return Yardstick(classifier, pictures.train, pictures.validation, data.resolve().name)


def _named(classes: Sequence[str]) -> str:
    if not classes:
        return "captions"
    return f"the classes {', '.join(classes[:10])}{', ...' if len(classes) > 10 else ''}"


def _trained(train: ImageSet, path: Path) -> Classifier:
    """The classifier stored at `path`; it is trained first where there is none."""
    classes, channels = len(train.classes), train.images.shape[1]
    if not path.is_file():
        torch.manual_seed(5)
        network = Classifier(classes, channels)
        fit(network, train, epochs=max(1, STEPS * BATCH // len(train)), seed=5)
        save(network, path)
    return load_classifier(path, classes, channels)
