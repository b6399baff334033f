"""The numbers of a training run, as recipes write them."""

from dataclasses import dataclass
from math import cos, pi
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from training.objectives.masks import Order, Ratio


@dataclass(frozen=True)
class TrainSettings:
    """Optimisation of one stage: AdamW, linear warm-up, cosine to `final_lr` times the peak rate.

    `accumulate`: parts that a process's share of the batch is computed in, for less memory. `workers`: threads that
    fetch data ahead. `compile`: by torch.compile, which takes a minute or so and pays on long runs.
    """

    steps: int
    batch: int
    lr: float
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.02
    warmup: int = 100
    final_lr: float = 0.05
    clip: float = 1.0
    ema: float = 0.998
    seed: int = 0
    bf16: bool = True
    accumulate: PositiveInt = 1
    workers: NonNegativeInt = 0
    compile: bool = False
    log_every: int = 20
    save_every: int = 500
    sample_every: int = 500

    def rate(self, step: int) -> float:
        """Learning rate of 0-based `step`."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr * (self.final_lr + (1 - self.final_lr) * (1 + cos(pi * min(done, 1.0))) / 2)


@dataclass(frozen=True)
class ReconstructionSettings:
    """Weights of the losses that every tokenizer has; `adversarial_from` is a share of the run.

    `decoder_only` leaves everything before the decoder as it is, so that codes stay valid.
    """

    l1: float = 1.0
    l2: float = 2.0
    perceptual: float = 0.2
    adversarial: float = 0.02
    adversarial_from: float = 0.5
    decoder_only: bool = False


@dataclass(frozen=True)
class TokenizerSettings(ReconstructionSettings):
    """A VQGAN's losses; `restart_until` is a share of the run."""

    codebook: float = 1.0
    commitment: float = 0.25
    restart_every: int = 100
    restart_below: float = 0.1
    restart_until: float = 0.6


@dataclass(frozen=True)
class AutoencoderSettings(ReconstructionSettings):
    """A KL autoencoder's losses; `kl` weighs the mean divergence of a latent from a unit Gaussian, in nats."""

    adversarial: float = 0.0
    kl: float = 1e-3


@dataclass(frozen=True)
class MaskedTokenSettings:
    """What is hidden, and what is asked of the network; `docs/training-options.md` has the effect of each.

    `ratio`, `order`: see training/objectives/masks.py; `hardest` is the final weight of order = "hard".
    `disjoint`: every image is in the batch twice, hidden in opposite order.
    `corrupt`: share of visible tokens that are wrong: a code drawn evenly, or from the network's `own` distribution.
    `unlike`: weight of the likeness between the mask token and the codes. `distil`: share of the loss that is the
    divergence from the generator checkpoint `teacher`. `class_dropout`: share of samples without class or caption;
    `word_dropout`: of a caption's terms.
    """

    ratio: Ratio = "cosine"
    order: Order = "white"
    hardest: float = 1.0
    disjoint: bool = False
    corrupt: Annotated[float, Field(ge=0, lt=1)] = 0.0
    corrupt_with: Literal["uniform", "own"] = "own"
    unlike: float = 0.0
    distil: Annotated[float, Field(ge=0, le=1)] = 0.0
    teacher: str = ""
    smoothing: float = 0.1
    class_dropout: float = 0.1
    word_dropout: float = 0.1
    flip: bool = False

    def __post_init__(self) -> None:
        if (self.distil > 0) != bool(self.teacher):
            raise ValueError("distil and teacher go together")
        if self.disjoint and self.order == "hard":
            raise ValueError("disjoint masks follow a random order, not order = 'hard'")


@dataclass(frozen=True)
class MaskedLatentSettings:
    """What is hidden, and how often each hidden token is denoised (`repeats`, at noise levels of their own).

    `ratio`: see training/objectives/masks.py; one is drawn for a whole batch. `class_dropout`: share of samples without
    class.
    """

    ratio: Ratio = "normal"
    repeats: PositiveInt = 4
    class_dropout: float = 0.1
    flip: bool = False


@dataclass(frozen=True)
class NoiseSettings:
    """The error of predicted noise: half its square, or its size. What is hidden is said by the network's sizes.

    heaviest: a level that keeps a share a of the signal weighs min(1 / a, heaviest), over the mean of all; 1 is the
    published objective. Where noise is nearly all there is, its error says little of how wrong the frames are: more
    weight there, and a short training finds out where things are, and that a ground is black (the weights of predicting
    a velocity, arXiv 2202.00512, with an end). passing: the network begins by passing on what it is given, which it
    would have to learn first; it needs about twice as many channels as a block has, and no SPADE.
    """

    norm: Literal["l2", "l1"] = "l2"
    heaviest: float = 1.0
    passing: bool = False

    def __post_init__(self) -> None:
        if self.heaviest < 1.0:
            raise ValueError(f"heaviest is at least 1, not {self.heaviest:g}")


@dataclass(frozen=True)
class PerceptualSettings:
    """The small classifier whose features serve as perceptual distance."""

    epochs: int = 2
    seed: int = 77
    lr: float = 3e-3


@dataclass(frozen=True)
class CodecSettings:
    """A codec's losses: shares of the gradient at what its decoder makes, but for `commitment`, which is a weight.

    `spectrum` is of codecs whose decoders make spectra; these may do without `l1`, `mel` and `stft` of waveforms.

    `crop_seconds` of a sound at a time; codes stand between encoder and decoder from the share `quantized_from` of the
    run on; `windows` and `width` of the discriminator, which judges from the share
    `adversarial_from` of the run on; `fewer`: share of sounds that pass only some of the codebooks. Codes used less
    than `restart_below` times an even share are replaced every `restart_every` steps, up to the share `restart_until`.
    """

    crop_seconds: float = 1.0
    spectrum: float = 2.0
    l1: float = 0.1
    mel: float = 2.0
    stft: float = 2.0
    adversarial: float = 4.0
    features: float = 4.0
    commitment: float = 1.0
    quantized_from: float = 0.0
    adversarial_from: float = 0.2
    windows: tuple[int, ...] = (1024, 512, 256)
    width: PositiveInt = 16
    fewer: Annotated[float, Field(ge=0, le=1)] = 0.3
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.99
    restart_every: PositiveInt = 20
    restart_below: float = 0.05
    restart_until: float = 0.8


@dataclass(frozen=True)
class TextDropout:
    """`condition_dropout`: share of sounds without a text, for guidance; `word_dropout`: of a text's terms."""

    condition_dropout: Annotated[float, Field(ge=0, le=1)] = 0.15
    word_dropout: Annotated[float, Field(ge=0, le=1)] = 0.1


@dataclass(frozen=True)
class DelayedSettings(TextDropout):
    """`fewer`: share of batches that know the first codebooks alone, any number of them."""

    fewer: Annotated[float, Field(ge=0, le=1)] = 0.4


@dataclass(frozen=True)
class MaskedSpanSettings(TextDropout):
    """How often a codebook is trained: `first` times as often the first as each other one."""

    first: Annotated[float, Field(gt=0)] = 1.0

    def shares(self, codebooks: int) -> list[float]:
        """Of each codebook."""
        each = [self.first, *[1.0] * (codebooks - 1)]
        return [share / sum(each) for share in each]
