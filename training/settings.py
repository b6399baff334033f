"""The numbers of a training run, as recipes write them."""

from dataclasses import dataclass
from math import cos, pi


@dataclass(frozen=True)
class TrainSettings:
    """Optimisation of one stage: AdamW, linear warm-up, cosine to `final_lr` times the peak rate."""

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
class TokenizerSettings:
    """Weights of the tokenizer's losses; `adversarial_from` and `restart_until` are shares of the run.

    `decoder_only` leaves encoder and codebook as they are, so that token ids stay valid.
    """

    l1: float = 1.0
    l2: float = 2.0
    perceptual: float = 0.2
    codebook: float = 1.0
    commitment: float = 0.25
    adversarial: float = 0.02
    adversarial_from: float = 0.5
    restart_every: int = 100
    restart_below: float = 0.1
    restart_until: float = 0.6
    decoder_only: bool = False


@dataclass(frozen=True)
class MaskedTokenSettings:
    """`ratio` is `cosine` (cos(pi r / 2), r uniform) or `beta` (Beta(12, 3), AutoNAT)."""

    ratio: str = "cosine"
    smoothing: float = 0.1
    class_dropout: float = 0.1
    flip: bool = False


@dataclass(frozen=True)
class PerceptualSettings:
    """The small classifier whose features serve as perceptual distance."""

    epochs: int = 2
    seed: int = 77
    lr: float = 3e-3
