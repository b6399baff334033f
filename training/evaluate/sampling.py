"""Many samples offline, by the decoders that the service runs: no second copy of the decoding maths."""

from pathlib import Path

import torch
from torch import Tensor

from models.checkpoint import read_config
from models.decoder import Condition, GenerationRequest, IterativeDecoder, Kind
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


def sample_images(decoder: IterativeDecoder, labels: Tensor, sampling: Sampling, seed: int, batch: int = 125) -> Tensor:
    """uint8 images [N, C, H, W] for `labels` [N] or [N, W], in parts of `batch`. Sample i has seed `seed + i`."""
    made: list[Tensor] = []
    for at in torch.arange(len(labels)).split(batch):
        requests = [GenerationRequest("generate", condition(labels[i]), sampling, seed + int(i)) for i in at]
        sequences = [decoder.admit(request)[0] for request in requests]
        # of one plan, so all need the same work at a time
        while (work := decoder.next_work(sequences[0])) and work.kind is not Kind.FINISH:
            decoder.run(work, sequences)
        made += [torch.from_numpy(artifact.array) for artifact in decoder.finish(sequences)]
        for sequence in sequences:
            decoder.release(sequence)
    return torch.stack(made).movedim(-1, 1)
