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
    return torch.zeros(len(counts), length, dtype=torch.bool).scatter(1, order, places < counts[:, None])


def logits_where(network: UViT, ids: Tensor, labels: Tensor, where: Tensor) -> Tensor:
    """`network(ids, labels)[where]` for ids and where [B, L], labels [B]: the head runs on those rows only.

    Attention is written out: its bf16 backward on CPU is several times faster than the fused one's.
    """
    b, length = ids.shape
    positions = torch.arange(length, device=ids.device).expand(b, length)
    tokens = network.embed_tokens(ids, positions)
    x = torch.cat([network.embed_classes(labels)[:, None], tokens], dim=1)  # [B, 1+L, D]

    def attend(block: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (t.unflatten(0, (b, length + 1)).transpose(1, 2) for t in (q, k, v))
        weights = (q @ k.mT * q.shape[-1] ** -0.5).softmax(dim=-1).to(v.dtype)  # [B, H, 1+L, 1+L]
        return (weights @ v).transpose(1, 2).flatten(0, 1)

    rows = network.trunk(x.flatten(0, 1), attend).unflatten(0, (b, length + 1))
    return network.head(rows[:, 1:][where])


def masked_loss(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy over the hidden tokens of a batch, 1-e+e/K on the right one: logits [M, K], targets [M]."""
    return F.cross_entropy(logits.float(), targets, label_smoothing=smoothing)


class MaskedTokenTask:
    """Trains a U-ViT on cached tokens. `picture` draws the sample grid of the averaged network."""

    parts: tuple[str, ...] = ("network",)

    def __init__(self, network: UViT, tokens: TokenSet, settings: MaskedTokenSettings, picture: Picture) -> None:
        self.network, self.tokens, self.settings = network, tokens, settings
        self.draw = picture
        self.modules = nn.ModuleDict({"network": network})

    @property
    def count(self) -> int:
        return len(self.tokens)

    def losses(self, context: StepContext) -> Iterator[Loss]:
        """One loss: predict hidden tokens; the class is dropped now and then, for guidance."""
        config, g, rows, mine = self.network.config, context.generator, context.rows, context.mine
        view = torch.randint(len(self.tokens.ids), rows.shape, generator=g)
        counts = mask_counts(self.settings.ratio, len(rows), config.length, g)
        masked = exact_masks(counts, config.length, g)[mine]
        dropped = (torch.rand(len(rows), generator=g) < self.settings.class_dropout)[mine]
        ids, labels = self.tokens.ids[view[mine], rows[mine]], self.tokens.labels[rows[mine]]
        device = self.network.mlm_layer.bias.device
        ids, labels, masked, dropped = (t.to(device) for t in (ids, labels, masked, dropped))
        seen = ids.masked_fill(masked, config.mask_id)
        asked = labels.masked_fill(dropped, config.null_class)
        logits, targets = logits_where(self.network, seen, asked, masked), ids[masked]
        share = counts[mine].sum() * mine.step / counts.sum()  # the mean over processes is that over all tokens
        loss = share.to(device) * masked_loss(logits, targets, self.settings.smoothing)
        with torch.no_grad():
            hit = (logits.argmax(-1) == targets).float().mean()
        yield Loss("network", loss, {"masked": loss, "accuracy": hit})

    def after_step(self, context: StepContext) -> dict[str, float]:
        return {}

    def picture(self, network: nn.Module) -> Tensor:
        assert isinstance(network, UViT)
        return self.draw(network)
