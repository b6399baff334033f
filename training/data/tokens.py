"""Token cache: every image is tokenised once, before the token model trains."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.tokenizers.vqgan import VQGAN
from training.data.images import ImageSet, to_unit


@dataclass(frozen=True)
class TokenSet:
    """ids: int64 [S, N, L], one set per view (the images, then perhaps their mirror images); labels: int64 [N]."""

    ids: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@torch.no_grad()
def tokenise(tokenizer: VQGAN, data: ImageSet, *, flip: bool) -> TokenSet:
    """Encode a split in fp32; `flip` adds the mirrored images as a second view."""
    views = [data.images, data.images.flip(-1)] if flip else [data.images]
    ids = [torch.cat([tokenizer.encode(to_unit(part)) for part in v.split(250)]) for v in views]
    return TokenSet(torch.stack(ids), data.labels)


def save_tokens(tokens: TokenSet, path: Path) -> None:
    """Store as int32."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"ids": tokens.ids.to(torch.int32), "labels": tokens.labels.to(torch.int32)}, path)


def load_tokens(path: Path) -> TokenSet:
    """What `save_tokens` stored."""
    stored = load_file(path)
    return TokenSet(stored["ids"].long(), stored["labels"].long())
