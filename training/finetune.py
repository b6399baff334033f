"""Start a generator from a trained one: what fits is taken over, classes by their names."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from models.checkpoint import CheckpointError, read_config
from models.maskgit.network import UViT
from models.weights import load_state

CLASSES = "context_embed.word_embeddings.weight"  # a row per class, the null class last


@dataclass(frozen=True)
class TakenOver:
    """known, fresh: class names with and without a trained row; left: tensors that have another shape."""

    known: list[str]
    fresh: list[str]
    left: list[str]

    def __str__(self) -> str:
        parts = [f"{len(self.known)} classes known: {_names(self.known)}"] if self.known else []
        parts += [f"{len(self.fresh)} new: {_names(self.fresh)}"] if self.fresh else []
        parts += [f"{len(self.left)} tensors of another shape start anew: {_names(self.left)}"] if self.left else []
        return "; ".join(parts)


@torch.no_grad()
def take_over(network: UViT, classes: list[str], checkpoint: Path) -> TakenOver:
    """Copy the weights of a generator `checkpoint` into `network`, whose class `i` is called `classes[i]`.

    A class that the checkpoint does not know starts from its null class. Raises CheckpointError where nothing fits.
    """
    config, stored = read_config(checkpoint), load_state(checkpoint)
    if CLASSES not in stored:
        raise CheckpointError(f"{checkpoint}: not a generator that can be continued")
    own = network.state_dict()
    left = [key for key, value in own.items() if key != CLASSES and stored.get(key, value[None]).shape != value.shape]
    if len(left) > len(own) // 2:
        raise CheckpointError(f"{checkpoint}: its network has other sizes: {_names(left)}")
    for key, value in own.items():
        if key != CLASSES and key not in left:
            value.copy_(stored[key])
    rows, table = _rows(classes, config.conditions), stored[CLASSES]
    if table.shape[1] == own[CLASSES].shape[1]:
        own[CLASSES].copy_(table[rows])
    else:
        left.append(CLASSES)
    known = [name for name in classes if name in config.conditions]
    return TakenOver(known, [name for name in classes if name not in config.conditions], left)


def _rows(classes: list[str], trained: list[str]) -> Tensor:
    """Where each class, and the null class behind them, lies in the trained table."""
    null = len(trained)
    return torch.tensor([trained.index(name) if name in trained else null for name in classes] + [null])


def _names(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
