"""Randomness as a function of (seed, step): nothing to save, so a resumed run repeats an undisturbed one."""

import hashlib

import torch
from torch import Tensor


def seed_of(*parts: int | str) -> int:
    """A 63-bit seed from any mix of numbers and words."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator_of(*parts: int | str) -> torch.Generator:
    """A CPU generator for exactly this place of the run."""
    return torch.Generator().manual_seed(seed_of(*parts))


class Batches:
    """Shuffled epochs over `count` rows; step -> row indices, without state that matters."""

    def __init__(self, count: int, batch: int, seed: int) -> None:
        self.count, self.batch, self.seed = count, min(batch, count), seed
        self.per_epoch = count // self.batch
        self._epoch = -1
        self._order = torch.empty(0)

    def rows(self, step: int) -> Tensor:
        """The row indices of `step`."""
        epoch, at = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            generator = generator_of(self.seed, "epoch", epoch)
            self._epoch, self._order = epoch, torch.randperm(self.count, generator=generator)
        return self._order[at * self.batch : (at + 1) * self.batch]
