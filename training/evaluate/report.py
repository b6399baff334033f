"""All numbers of one checkpoint."""

import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.architecture import parse_architecture
from models.checkpoint import read_config, tokenizer_directory
from models.spec import Sampling
from models.tokenizers.kinds import KINDS, load_tokenizer
from training.data.images import ImageSet
from training.evaluate.extractors import Extractor, OwnClassifier
from training.evaluate.frechet import Gaussian
from training.evaluate.measures import OWN, TEST
from training.evaluate.metrics import Reference, asked_labels, assess, reference, score_tokenizer
from training.evaluate.neighbours import NEIGHBOURS
from training.evaluate.pixels import half_resolution
from training.evaluate.sampling import load_decoder, sample_images
from training.evaluate.yardstick import Yardstick

LEAST_COUNT = NEIGHBOURS + 1


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
    place: Path,
    yardstick: Yardstick,
    count: int,
    seed: int,
    changes: Mapping[str, str],
    extractors: Sequence[Extractor] = (),
    published: Gaussian | None = None,
) -> dict[str, Any]:
    """Scores of a checkpoint; a tokenizer's alone when `place` is one.

    They are in the features of the yardstick's classifier, where it has one, and of each of `extractors`, whose Fréchet
    distances are to `published` statistics where those are given. Raises CheckpointError, and ValueError for what
    cannot be measured.
    """
    if count < LEAST_COUNT:
        raise ValueError(f"{count} samples are too few: nearest neighbours need {LEAST_COUNT} at least")
    config = read_config(place)
    is_tokenizer = config.family in KINDS
    tokenizer = load_tokenizer(place if is_tokenizer else tokenizer_directory(place, config))
    test = yardstick.test
    sides = _sides(yardstick, count, extractors, published)
    drawn = sides[0][1].drawn
    scores: dict[str, Any] = {
        "data": yardstick.name,
        "test": len(test),
        "features": {
            extractor.name: {
                "says": extractor.says,
                "dimensions": real.test.features.shape[1],
                "against": TEST if published is None or extractor.name == OWN else "published statistics",
            }
            for extractor, real in sides
        },
        "tokenizer": score_tokenizer(tokenizer, sides, test),
        "asked": "the captions of held-out images in turn" if test.captioned else "every class as often",
        "count": len(drawn),  # of every cloud: distances of clouds of different sizes do not compare
    }
    if is_tokenizer:
        return scores
    decoding = dict(config.decoding) | changed(changes)
    sampling = parse_architecture(Sampling, decoding, "decoding")
    labels = asked_labels(test, len(drawn))
    decoder = load_decoder(place)
    start = time.perf_counter()
    images = sample_images(decoder, labels, sampling, seed)
    took = time.perf_counter() - start
    clouds = {
        "real": drawn,
        "blurred": ImageSet(half_resolution(drawn.images), drawn.labels, drawn.classes),
        "samples": ImageSet(images, labels, drawn.classes),
    }
    for part, cloud in clouds.items():
        scores[part] = {}
        for extractor, real in sides:
            judged = real.train if cloud is drawn else assess(extractor, cloud.images, cloud.labels)
            scores[part] |= real.scores(judged, extractor.name)
    how = {name: value for name, value in asdict(sampling).items() if name in decoder.spec.parameters}
    return scores | {"sampling": how, "seed": seed, "seconds": round(took, 1)}


def _sides(
    yardstick: Yardstick, count: int, others: Sequence[Extractor], published: Gaussian | None
) -> list[tuple[Extractor, Reference]]:
    """The real images in the features of every extractor. What cannot work is found out on two images first."""
    for extractor in others:
        width = extractor.features(yardstick.test.images[:2]).shape[1]
        if published is not None and published.dimensions != width:
            raise ValueError(
                f"the statistics are of {published.dimensions} features, {extractor.name} makes {width}: "
                "they are of another extractor"
            )
    train, test = yardstick.train, yardstick.test
    own = [] if yardstick.classifier is None else [OwnClassifier(yardstick.classifier)]
    sides: list[tuple[Extractor, Reference]] = [(one, reference(one, train, test, count)) for one in own]
    sides += [(one, reference(one, train, test, count, published)) for one in others]
    if not sides:
        raise ValueError("there is no feature extractor to measure with")
    return sides
