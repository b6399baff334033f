"""Whether samples are sounds of the training set: how alike they are to the nearest of those."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from training.data.sounds import SoundSet
from training.evaluate.classifier import Classifier
from training.evaluate.listener import listen
from training.objectives.spectra import mels

WINDOW = 1024
CANDIDATES = 50  # sounds whose spectrograms are compared: those that the listener finds most alike
PART = 128


def nearest_loops(made: Tensor, data: SoundSet, listener: Classifier) -> dict[str, Any]:
    """Of samples [N, 1, S]: the correlation of log mel spectrograms with the most alike training sound, and how alike
    training sounds are to the most alike other one.
    """
    features = _features(data, listener)
    own, _ = listen(listener, made)
    rows = torch.linspace(0, len(data) - 1, len(made)).long()
    theirs = data.crops(rows, torch.zeros_like(rows), made.shape[-1])
    best, where = _most_alike(made, own, data, features, None)
    floor, _ = _most_alike(theirs, features[rows], data, features, rows)
    return {
        "count": len(made),
        "likeness_median": float(best.median()),
        "likeness_most": float(best.max()),
        "most_like_sample": int(best.argmax()),
        "most_like_training_loop": data.captions[int(where[best.argmax()])],
        "training_loops_to_each_other_median": float(floor.median()),
        "training_loops_to_each_other_most": float(floor.max()),
    }


def _features(data: SoundSet, listener: Classifier) -> Tensor:
    found = []
    for rows in torch.arange(len(data)).split(PART):
        found.append(listen(listener, data.crops(rows, torch.zeros_like(rows), data.waves.shape[1]))[0])
    return torch.cat(found)


def _most_alike(
    waves: Tensor, own: Tensor, data: SoundSet, features: Tensor, itself: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Likeness [N] to the most alike sound of `data`, and which that is; a sound is not compared with `itself`."""
    distances = torch.cdist(own, features)
    if itself is not None:
        distances[torch.arange(len(waves)), itself] = float("inf")
    best, where = [], []
    for wave, near in zip(waves, distances.topk(min(CANDIDATES, len(data) - 1), largest=False).indices, strict=True):
        candidates = data.crops(near, torch.zeros_like(near), waves.shape[-1])
        likeness = _pictures(candidates, data.rate) @ _pictures(wave.unsqueeze(0), data.rate)[0]
        best.append(likeness.max())
        where.append(near[likeness.argmax()])
    return torch.stack(best), torch.stack(where)


def _pictures(waves: Tensor, rate: int) -> Tensor:
    """Log mel spectrograms without their means, of length one: [N, F * T]."""
    levels = mels(waves, rate, WINDOW).clamp(min=1e-3).log().flatten(1)
    return F.normalize(levels - levels.mean(dim=1, keepdim=True), dim=1)
