"""Many samples offline, by the decoders that the service runs: no second copy of the decoding maths."""

from collections.abc import Callable
from collections.abc import Sequence as Seq
from pathlib import Path

import torch
from torch import Tensor

from models.checkpoint import read_config
from models.decoder import Artifact, Condition, GenerationRequest, IterativeDecoder, Kind, Sequence, Work
from models.family import families
from models.spec import Sampling


def load_decoder(place: Path) -> IterativeDecoder:
    """The decoder of a generator checkpoint, on the CPU. Raises CheckpointError."""
    config = read_config(place)
    family = families()[config.family]
    return family.load(family.spec(place.name, place, config), place, "cpu", "float32")


def condition(label: Tensor) -> Condition | None:
    """What a label of a data set asks for: a class, or the terms of a caption [W] that are not -1."""
    if label.dim() == 0:
        return int(label)
    return tuple(label[label >= 0].tolist()) or None


def made_together(
    decoder: IterativeDecoder,
    requests: Seq[GenerationRequest],
    batch: int,
    tell: Callable[[int], None] = lambda n: None,
) -> list[Artifact]:
    """Of the first sample of each request, `batch` of them at a time; `tell` hears of every batch."""
    made: list[Artifact] = []
    for first in range(0, len(requests), batch):
        sequences = [decoder.admit(request)[0] for request in requests[first : first + batch]]
        while (alike := _alike(decoder, sequences)) is not None:
            decoder.run(*alike)
        made += decoder.finish(sequences)
        for sequence in sequences:
            decoder.release(sequence)
        tell(len(sequences))
    return made


def _alike(decoder: IterativeDecoder, sequences: Seq[Sequence]) -> tuple[Work, list[Sequence]] | None:
    """The next work of the first sequence that is not done yet, and all that need the same."""
    works = [(decoder.next_work(sequence), sequence) for sequence in sequences]
    open_works = [(work, sequence) for work, sequence in works if work is not None and work.kind is not Kind.FINISH]
    if not open_works:
        return None
    first, _ = open_works[0]
    return first, [sequence for work, sequence in open_works if (work.kind, work.lane) == (first.kind, first.lane)]


def sample_images(decoder: IterativeDecoder, labels: Tensor, sampling: Sampling, seed: int, batch: int = 125) -> Tensor:
    """uint8 images [N, C, H, W] for `labels` [N] or [N, W], in parts of `batch`. Sample i has seed `seed + i`."""
    requests = [GenerationRequest("generate", condition(label), sampling, seed + at) for at, label in enumerate(labels)]
    made = [torch.from_numpy(artifact.array) for artifact in made_together(decoder, requests, batch)]
    return torch.stack(made).movedim(-1, 1)
