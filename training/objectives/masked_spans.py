"""The objective of MAGNeT (arXiv 2401.04577): spans of one codebook, with all before it known and none behind it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.magnet.loss import masked_loss
from models.magnet.masking import hidden, masked_starts, span_mask
from models.magnet.network import MAGNeT
from training.data.sound_tokens import SoundTokens
from training.objectives.task import Loss, StepContext
from training.settings import MaskedSpanSettings

Picture = Callable[[MAGNeT], Tensor]


class MaskedSpanTask:
    """Trains a MAGNeT of known terms on the ids of a codec."""

    parts: tuple[str, ...] = ("generator",)
    undecayed: tuple[str, ...] = ("embeddings", "terms")

    def __init__(self, network: MAGNeT, tokens: SoundTokens, settings: MaskedSpanSettings, picture: Picture) -> None:
        self.network, self.tokens, self.settings = network, tokens, settings
        self.modules = nn.ModuleDict({"generator": network})
        self._picture = picture

    @property
    def count(self) -> int:
        return len(self.tokens)

    def compile(self) -> None:
        for block in self.network.blocks:
            block.compile()

    def fetch(self, rows: Tensor, mine: slice) -> tuple[Tensor, ...]:
        """ids [B, K, T] and terms [B, W]."""
        some = rows[mine]
        return self.tokens.ids[some].long(), self.tokens.labels[some]

    def losses(self, context: StepContext) -> Iterator[Loss]:
        """The codebook of a step is one for the whole batch, since what attention sees depends on it."""
        s, config, draws = self.settings, self.network.config, context.generator
        ids, labels = (part.to(self.network.device) for part in context.data)
        codebook = int(torch.multinomial(torch.tensor(s.shares(config.codebooks)), 1, generator=draws))
        time = torch.rand(context.size, generator=draws)[context.mine]
        uniforms = torch.rand(context.size, ids.shape[2], generator=draws)[context.mine]
        said = (torch.rand(context.size, generator=draws) >= s.condition_dropout)[context.mine]
        words = (torch.rand(context.size, labels.shape[1], generator=draws) >= s.word_dropout)[context.mine]
        mask = span_mask(uniforms, masked_starts(time, ids.shape[2], config.span), config.span).to(ids.device)
        labels = torch.where(words.to(ids.device), labels, -1)
        order = said.long().argsort(descending=True, stable=True).to(ids.device)  # those with a text come first
        ids, mask, labels = ids[order], mask[order], labels[order]
        rows = logits_rows(
            self.network, hidden(ids, codebook, mask, config.mask_id), codebook, labels[: int(said.sum())]
        )
        logits = self.network.heads[codebook](self.network.norm(rows.unflatten(0, mask.shape)[mask]))
        loss = masked_loss(logits, ids[:, codebook][mask], torch.ones(len(logits), dtype=torch.bool, device=ids.device))
        yield Loss("generator", loss, {"masked": loss.detach(), f"masked{codebook + 1}": loss.detach()})

    def after_step(self, context: StepContext) -> dict[str, float]:
        return {}

    def picture(self, network: nn.Module) -> Tensor:
        assert isinstance(network, MAGNeT)
        return self._picture(network)


def logits_rows(network: MAGNeT, ids: Tensor, codebook: int, labels: Tensor) -> Tensor:
    """Rows [B * T, D] behind all blocks, for ids [B, K, T]; labels [n, W] are the terms (-1: none) of the first n."""
    batch, _, length = ids.shape
    positions = torch.arange(length, device=ids.device).repeat(batch)
    visible = Dense.of(network, batch, length, codebook, labels)
    x = network.embed(ids.transpose(1, 2).flatten(0, 1), positions)
    for at, block in enumerate(network.blocks):
        x = block(x, at, visible)
    return x


@dataclass(frozen=True)
class Dense:
    """Attention of `batch` sequences of `length` rows, of which the first have texts of equal width.

    It is written out: its bf16 backward on CPU is several times faster than the fused one's.
    """

    batch: int
    length: int
    near: Tensor | None  # bool [T, T]: who sees whom
    texts: Sequence[Tensor]  # of each block: keys and values [2, n, W + 1, H, E]
    there: Tensor  # bool [n, W + 1]
    texted: int

    @classmethod
    def of(cls, network: MAGNeT, batch: int, length: int, codebook: int, labels: Tensor) -> "Dense":
        config = network.config
        near = None
        if config.banded(codebook):
            at = torch.arange(length, device=labels.device)
            near = (at - at.unsqueeze(-1)).abs() <= config.context
        there = labels >= 0
        texts: list[Tensor] = []
        if len(labels):
            rows = network.text_in(network.terms(labels.clamp(min=0))) * there.unsqueeze(-1)  # [n, W, D]
            for block in network.blocks:
                kv = block.text_attn.kv(rows)  # type: ignore[union-attr,operator]
                texts.append(kv.unflatten(-1, (2, config.heads, -1)).permute(2, 0, 1, 3, 4))
        return cls(batch, length, near, texts, there, len(labels) * length)

    def rows(self, block: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (t.unflatten(0, (self.batch, self.length)).transpose(1, 2) for t in (q, k, v))  # [B, H, T, E]
        scores = q @ k.mT * q.shape[-1] ** -0.5
        if self.near is not None:
            scores = scores.masked_fill(~self.near, float("-inf"))
        return (scores.softmax(dim=-1).to(v.dtype) @ v).transpose(1, 2).flatten(0, 1)

    def text(self, block: int, q: Tensor) -> Tensor:
        """A sequence whose words were all dropped sees zeros, which is no text."""
        k, v = self.texts[block].transpose(2, 3)  # [n, H, W, E]
        q = q.unflatten(0, (len(k), self.length)).transpose(1, 2)
        scores = (q @ k.mT * q.shape[-1] ** -0.5).masked_fill(~self.there[:, None, None], -1e4)
        weights = scores.softmax(dim=-1).to(v.dtype) * self.there[:, None, None]
        return (weights @ v).transpose(1, 2).flatten(0, 1)
