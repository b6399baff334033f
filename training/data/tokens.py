"""Token cache: every image is tokenised once, before the token model trains."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.tokenizers.base import Tokenizer
from training.data.images import to_unit

BATCH = 250


@dataclass(frozen=True)
class TokenSet:
    """ids: int64 [S, N, L], one set per view (the images, then perhaps their mirror images); labels: int64 [N]."""

    ids: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def save(self, path: Path) -> None:
        """Store as int32."""
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"ids": self.ids.to(torch.int32), "labels": self.labels.to(torch.int32)}, path)


@torch.no_grad()
def tokenise(
    tokenizer: Tokenizer, images: Tensor, labels: Tensor, *, flip: bool, tell: Callable[[int], None] = lambda done: None
) -> TokenSet:
    """Encode uint8 images [N, C, H, W] in fp32, where the tokenizer is; `flip` adds the mirrored ones as a second view.

    `tell` is called with the number of pictures that have been encoded since.
    """
    device = next(tokenizer.parameters()).device
    views: list[list[Tensor]] = [[], []] if flip else [[]]
    for part in images.split(BATCH):
        unit = to_unit(part.to(device))
        for view, seen in zip(views, (unit, unit.flip(-1)), strict=False):
            view.append(tokenizer.encode(seen).cpu())
        tell(len(part))
    return TokenSet(torch.stack([torch.cat(view) for view in views]), labels)


def load_tokens(path: Path) -> TokenSet:
    """What `TokenSet.save` stored."""
    stored = load_file(path)
    return TokenSet(stored["ids"].long(), stored["labels"].long())
