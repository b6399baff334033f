"""What is measured of a tokenizer and of samples, in the features of any extractor.

Definitions. Every cloud of images is compared with the same reference, the test images, and the clouds are of one size
(10,000, fewer if asked for, or as many as there are training images), so that all distances share one finite-sample
bias:

- floor: fixed random training images - how far two sets of real images are apart;
- rFID-NAME: the reconstructions of those same training images;
- FID-NAME: samples, every class as often;
- control: those same training images at half their resolution.

`rFID-cls paired` is the usual other form: test images' reconstructions against the test images themselves.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.tokenizers.base import Tokenizer
from training.data.images import ImageSet, to_bytes, to_unit
from training.evaluate.classifier import Classifier, agreement
from training.evaluate.extractors import Extractor, OwnClassifier
from training.evaluate.frechet import Gaussian, frechet_distance
from training.evaluate.measures import measure
from training.evaluate.pixels import psnr, ssim
from training.randomness import generator_of

COUNT = 10_000


@dataclass(frozen=True)
class Judged:
    """A cloud of images: features [N, D], and the share of right labels in percent.

    The share is NaN where the extractor knows no labels; only the classifier does.
    """

    features: Tensor
    accuracy: float


@dataclass(frozen=True)
class Reference:
    """The real side, computed once: test split, drawn training images, and the distance between them.

    `target` is what Fréchet distances are to: the test split where it is None, else published statistics.
    """

    test: Judged
    train: Judged
    drawn: ImageSet
    floor: float
    target: Gaussian | None = None

    def distance(self, cloud: Judged) -> float:
        return frechet_distance(cloud.features, self.target or self.test.features)

    def scores(self, cloud: Judged, name: str) -> dict[str, float]:
        """Every measure of `cloud` in the features of extractor `name`, by the names they are stored under."""
        found = measure(cloud.features, self.test.features, self.target).named(name)
        return found if math.isnan(cloud.accuracy) else found | {"accuracy": cloud.accuracy}


@dataclass(frozen=True)
class SampleScores:
    """Scores of labelled images by the classifier, whatever made them. `kid_cls` is the kernel distance, times 1000."""

    fid_cls: float
    kid_cls: float
    accuracy: float
    precision: float
    recall: float
    density: float
    coverage: float


def assess(by: Classifier | Extractor, images: Tensor, labels: Tensor) -> Judged:
    """uint8 images [N, C, H, W] and what they should show [N] or [N, W]."""
    extractor = OwnClassifier(by) if isinstance(by, Classifier) else by
    if not isinstance(extractor, OwnClassifier):
        return Judged(extractor.features(images), math.nan)
    features, logits = extractor.judge(images)
    return Judged(features, agreement(logits, labels))


def reference(
    by: Classifier | Extractor, train: ImageSet, test: ImageSet, count: int = COUNT, published: Gaussian | None = None
) -> Reference:
    """Judge the real images: all test images, and `count` of the training images or all of fewer.

    `published` statistics take the place of the test images in Fréchet distances. Raises ValueError where theirs are
    other dimensions, and ExtractorError.
    """
    drawn = draw(train, count)
    real_test = assess(by, test.images, test.labels)
    real_train = assess(by, drawn.images, drawn.labels)
    target = published or Gaussian.of(real_test.features)
    return Reference(real_test, real_train, drawn, frechet_distance(real_train.features, target), target)


def draw(train: ImageSet, count: int) -> ImageSet:
    """The fixed training images that stand for reality: of two counts the smaller draw is part of the larger."""
    order = torch.randperm(len(train), generator=generator_of("reference"))
    return train.take(order[:count])


@torch.no_grad()
def reconstruct(tokenizer: Tokenizer, images: Tensor) -> tuple[Tensor, Tensor]:
    """uint8 images -> (reconstructions uint8, codes: ids [N, L] or latents [N, c, h, w])."""
    codes = [tokenizer.encode(to_unit(part)) for part in images.split(250)]
    return torch.cat([to_bytes(tokenizer.decode(part)) for part in codes]), torch.cat(codes)


def score_tokenizer(
    tokenizer: Tokenizer, sides: Sequence[tuple[Extractor, Reference]], test: ImageSet
) -> dict[str, float]:
    """All numbers about reconstructions; `sides` share one draw of training images.

    Accuracies are in percent; usage is the share of codes that the test images use at all, where there are codes.
    """
    made, codes = reconstruct(tokenizer, test.images)
    redrawn, _ = reconstruct(tokenizer, sides[0][1].drawn.images)
    scores: dict[str, float] = {}
    for extractor, real in sides:
        again = assess(extractor, redrawn, real.drawn.labels)
        if isinstance(extractor, OwnClassifier):
            seen = assess(extractor, made, test.labels)
            scores |= {
                "fid_floor": real.floor,
                "rfid_cls": real.distance(again),
                "rfid_cls_paired": real.distance(seen),
                "accuracy_real": real.test.accuracy,
                "accuracy_reconstructed": seen.accuracy,
            }
        else:
            scores |= {
                f"fid_floor_{extractor.name}": real.floor,
                f"rfid_{extractor.name}": real.distance(again),
            }
    if tokenizer.config.codebook_size:
        usage, perplexity = code_use(codes, tokenizer.config.codebook_size)
        scores |= {"codebook_usage": usage, "codebook_perplexity": perplexity}
    return scores | {"psnr": psnr(made, test.images), "ssim": ssim(made, test.images)}


def score_samples(classifier: Classifier, real: Reference, images: Tensor, labels: Tensor) -> SampleScores:
    """All numbers about samples: uint8 [N, C, H, W] asked to show `labels` [N]."""
    return SampleScores(**real.scores(assess(classifier, images, labels), OwnClassifier.name))


def code_use(ids: Tensor, codes: int) -> tuple[float, float]:
    """Share of codes that occur, and the perplexity of their distribution."""
    counts = torch.bincount(ids.flatten(), minlength=codes).double()
    shares = counts / counts.sum()
    entropy = torch.special.entr(shares).sum()
    return float((counts > 0).double().mean()), float(entropy.exp())


def asked_labels(data: ImageSet, count: int) -> Tensor:
    """What `count` samples are asked to show: every class as often, or the captions of `data` in turn."""
    if data.captioned:
        return data.labels[torch.arange(count) % len(data)]
    return balanced_labels(len(data.classes), count)


def balanced_labels(classes: int, count: int) -> Tensor:
    """`count` labels, every class equally often: 0, 1, ..., 0, 1, ..."""
    return torch.arange(count) % classes
