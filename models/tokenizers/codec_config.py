"""What the sizes of every codec of sounds say. Imports without torch."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from models.architecture import Architecture


@dataclass(frozen=True)
class CodecConfig(Architecture, ABC):
    """`sample_rate` is in Hz, each of `codebooks` refines what those before it leave."""

    sample_rate: int
    channels: int
    dimension: int
    codebooks: int
    codebook_size: int

    @property
    @abstractmethod
    def hop(self) -> int:
        """Samples of a token."""

    @property
    @abstractmethod
    def floats_a_sample(self) -> int:
        """How many numbers are at work for each sample of two waveforms, about."""

    def check(self) -> None:
        """ValueError for numbers that contradict each other."""
        if self.codebook_size < 2 or self.codebook_size & (self.codebook_size - 1):
            raise ValueError(f"codebook_size {self.codebook_size} is no power of two")
        if self.sample_rate < self.hop:
            raise ValueError(f"sample_rate {self.sample_rate} is less than the {self.hop} samples of a token")

    @property
    def frame_rate(self) -> int:
        """Whole tokens of a second."""
        return self.sample_rate // self.hop

    def frames(self, samples: int) -> int:
        """Tokens of a waveform: the last may reach beyond its end."""
        return -(-samples // self.hop)
