"""The masked-token objective of MaskGIT (arXiv 2202.04200) with AutoNAT's variants."""

from collections.abc import Callable, Iterator
from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.maskgit.network import UViT
from training.data.tokens import TokenSet
from training.objectives.task import Loss, StepContext
from training.settings import MaskedTokenSettings

Picture = Callable[[UViT], Tensor]


def mask_counts(kind: str, batch: int, length: int, generator: torch.Generator) -> Tensor:
    """How many of `length` tokens to hide in each sample, at least one: int64 [batch].

    `cosine`: ratio cos(pi/2 r) with r uniform (MaskGIT). `beta`: ratio ~ Beta(12, 3), mean 0.8 (AutoNAT).
    Raises ValueError for another name.
    """
    if kind == "cosine":
        ratio = torch.cos(pi / 2 * torch.rand(batch, generator=generator))
    elif kind == "beta":
        # The 12th smallest of 14 uniforms is Beta(12, 3).
        ratio = torch.rand(batch, 14, generator=generator).sort(dim=1).values[:, 11]
    else:
        raise ValueError(f"ratio is cosine or beta, not {kind!r}")
    return (ratio * length).round().long().clamp(1, length)


def exact_masks(counts: Tensor, length: int, generator: torch.Generator) -> Tensor:
    """Exactly `counts[b]` random positions per sample: bool [B, length]."""
    order = torch.rand(len(counts), length, generator=generator).argsort(dim=1)
    places = torch.arange(length).expand(len(counts), length)
    return torch.zeros(len(counts), length, dtype=torch.bool).scatter(
        1, order, places < counts[:, None]
    )


def masked_loss(logits: Tensor, ids: Tensor, masked: Tensor, smoothing: float) -> Tensor:
    """Smoothed cross-entropy over the masked positions of the batch; logits [B, L, K], ids and masked [B, L]."""
    return F.cross_entropy(logits[masked].float(), ids[masked], label_smoothing=smoothing)


class MaskedTokenTask:
    """Trains a U-ViT on cached tokens. `picture` draws the sample grid of the averaged network."""

    parts = ("network",)

    def __init__(
        self, network: UViT, tokens: TokenSet, settings: MaskedTokenSettings, picture: Picture
    ) -> None:
        self.network, self.tokens, self.settings = network, tokens, settings
        self.draw = picture
        self.modules = nn.ModuleDict({"network": network})

    @property
    def count(self) -> int:
        return len(self.tokens)

    def losses(self, context: StepContext) -> Iterator[Loss]:
        """One loss: predict hidden tokens; the class is dropped now and then, for guidance."""
        config, g, rows = self.network.config, context.generator, context.rows
        view = torch.randint(len(self.tokens.ids), rows.shape, generator=g)
        ids, labels = self.tokens.ids[view, rows], self.tokens.labels[rows]
        masked = exact_masks(
            mask_counts(self.settings.ratio, len(rows), config.length, g), config.length, g
        )
        dropped = torch.rand(len(rows), generator=g) < self.settings.class_dropout
        seen = ids.masked_fill(masked, config.mask_id)
        logits = self.network(seen, labels.masked_fill(dropped, config.null_class))
        loss = masked_loss(logits, ids, masked, self.settings.smoothing)
        with torch.no_grad():
            hit = (logits[masked].argmax(-1) == ids[masked]).float().mean()
        yield Loss("network", loss, {"masked": loss, "accuracy": hit})

    def after_step(self, context: StepContext) -> dict[str, float]:
        return {}

    def picture(self, network: nn.Module) -> Tensor:
        assert isinstance(network, UViT)
        return self.draw(network)
