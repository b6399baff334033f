"""What is measured of a tokenizer and of samples.

Definitions. Every cloud of images is compared with the same reference, the test images, and the clouds are of one size
(10,000, or as many as there are training images), so that all distances share one finite-sample bias:

- floor: fixed random training images - how far two sets of real images are apart;
- rFID-cls: the reconstructions of those same training images;
- FID-cls: samples, every class as often.

`rFID-cls paired` is the usual other form: test images' reconstructions against the test images themselves.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from models.tokenizers.vqgan import VQGAN
from training.data.images import ImageSet, to_bytes, to_unit
from training.evaluate.classifier import Classifier, judge
from training.evaluate.frechet import frechet_distance
from training.evaluate.kernel import kernel_distance
from training.evaluate.neighbours import manifold_scores
from training.evaluate.pixels import half_resolution, psnr, ssim
from training.randomness import generator_of

COUNT = 10_000


@dataclass(frozen=True)
class Judged:
    """A cloud of images through the classifier: features [N, 128], shares of right labels in percent."""

    features: Tensor
    accuracy: float


@dataclass(frozen=True)
class Reference:
    """The real side, computed once: test split, drawn training images, and the distance between them."""

    test: Judged
    train: Judged
    drawn: ImageSet
    floor: float

    def distance(self, cloud: Judged) -> float:
        return frechet_distance(cloud.features, self.test.features)


@dataclass(frozen=True)
class TokenizerScores:
    """Accuracies in percent; usage is the share of codes that the test images use at all."""

    fid_floor: float
    rfid_cls: float
    rfid_cls_paired: float
    accuracy_real: float
    accuracy_reconstructed: float
    codebook_usage: float
    codebook_perplexity: float
    psnr: float
    ssim: float


@dataclass(frozen=True)
class SampleScores:
    """Scores of labelled images, whatever made them. `kid_cls` is the kernel distance, times 1000."""

    fid_cls: float
    kid_cls: float
    accuracy: float
    precision: float
    recall: float
    density: float
    coverage: float


def assess(classifier: Classifier, images: Tensor, labels: Tensor) -> Judged:
    """uint8 images [N, 1, 32, 32] and what they should show [N]."""
    features, found = judge(classifier, images)
    return Judged(features, 100.0 * float((found == labels).double().mean()))


def reference(classifier: Classifier, train: ImageSet, test: ImageSet) -> Reference:
    """Judge the real images: `COUNT` of each split, or all of a smaller one."""
    order = torch.randperm(len(train), generator=generator_of("reference"))
    drawn = train.take(order[:COUNT])
    real_test = assess(classifier, test.images, test.labels)
    real_train = assess(classifier, drawn.images, drawn.labels)
    floor = frechet_distance(real_train.features, real_test.features)
    return Reference(real_test, real_train, drawn, floor)


@torch.no_grad()
def reconstruct(tokenizer: VQGAN, images: Tensor) -> tuple[Tensor, Tensor]:
    """uint8 images -> (reconstructions uint8, ids [N, L])."""
    ids = [tokenizer.encode(to_unit(part)) for part in images.split(250)]
    return torch.cat([to_bytes(tokenizer.decode(part)) for part in ids]), torch.cat(ids)


def score_tokenizer(tokenizer: VQGAN, classifier: Classifier, real: Reference, test: ImageSet) -> TokenizerScores:
    """All numbers about reconstructions."""
    made, ids = reconstruct(tokenizer, test.images)
    seen = assess(classifier, made, test.labels)
    redrawn, _ = reconstruct(tokenizer, real.drawn.images)
    again = assess(classifier, redrawn, real.drawn.labels)
    usage, perplexity = code_use(ids, tokenizer.config.codebook_size)
    return TokenizerScores(
        fid_floor=real.floor,
        rfid_cls=real.distance(again),
        rfid_cls_paired=real.distance(seen),
        accuracy_real=real.test.accuracy,
        accuracy_reconstructed=seen.accuracy,
        codebook_usage=usage,
        codebook_perplexity=perplexity,
        psnr=psnr(made, test.images),
        ssim=ssim(made, test.images),
    )


def score_samples(classifier: Classifier, real: Reference, images: Tensor, labels: Tensor) -> SampleScores:
    """All numbers about samples: uint8 [N, C, H, W] asked to show `labels` [N]."""
    return _scored(real, assess(classifier, images, labels))


def score_real(real: Reference) -> SampleScores:
    """The floor: training images scored as if they were samples."""
    return _scored(real, real.train)


def score_blurred(classifier: Classifier, real: Reference) -> SampleScores:
    """The control: the same training images at half their resolution. A measure that cannot tell is worth nothing."""
    return score_samples(classifier, real, half_resolution(real.drawn.images), real.drawn.labels)


def _scored(real: Reference, cloud: Judged) -> SampleScores:
    manifold = manifold_scores(real.test.features, cloud.features)
    kernel = 1000 * kernel_distance(cloud.features, real.test.features)
    return SampleScores(real.distance(cloud), kernel, cloud.accuracy, **asdict(manifold))


def code_use(ids: Tensor, codes: int) -> tuple[float, float]:
    """Share of codes that occur, and the perplexity of their distribution."""
    counts = torch.bincount(ids.flatten(), minlength=codes).double()
    shares = counts / counts.sum()
    entropy = torch.special.entr(shares).sum()
    return float((counts > 0).double().mean()), float(entropy.exp())


def balanced_labels(classes: int, count: int) -> Tensor:
    """`count` labels, every class equally often: 0, 1, ..., 0, 1, ..."""
    return torch.arange(count) % classes
