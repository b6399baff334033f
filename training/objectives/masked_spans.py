"""The objective of MAGNeT (arXiv 2401.04577): spans of one codebook, with all before it known and none behind it."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from models.magnet.loss import masked_loss
from models.magnet.masking import hidden, masked_starts, span_mask
from models.magnet.network import MAGNeT
from training.data.sound_tokens import SoundTokens
from training.objectives.dense import features_of, neighbours
from training.objectives.task import Loss, StepContext
from training.settings import MaskedSpanSettings, TextDropout

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
        mask = span_mask(uniforms, masked_starts(time, ids.shape[2], config.span), config.span).to(ids.device)
        order, labels = spoken(labels, s, context)
        ids, mask = ids[order], mask[order]
        shown = hidden(ids, codebook, mask, config.mask_id)
        near = neighbours(ids.shape[2], config.context, ids.device) if config.banded(codebook) else None
        rows = features_of(self.network, shown, near, labels)
        logits = self.network.heads[codebook](self.network.norm(rows.unflatten(0, mask.shape)[mask]))
        loss = masked_loss(logits, ids[:, codebook][mask], torch.ones(len(logits), dtype=torch.bool, device=ids.device))
        yield Loss("generator", loss, {"masked": loss.detach(), f"masked{codebook + 1}": loss.detach()})

    def after_step(self, context: StepContext) -> dict[str, float]:
        return {}

    def picture(self, network: nn.Module) -> Tensor:
        assert isinstance(network, MAGNeT)
        return self._picture(network)


def spoken(labels: Tensor, settings: TextDropout, context: StepContext) -> tuple[Tensor, Tensor]:
    """An order [B] of the batch in which the sounds that keep a text come first, and what is left of those texts."""
    draws, mine = context.generator, context.mine
    said = (torch.rand(context.size, generator=draws) >= settings.condition_dropout)[mine].to(labels.device)
    words = (torch.rand(context.size, labels.shape[1], generator=draws) >= settings.word_dropout)[mine]
    order = said.long().argsort(descending=True, stable=True)
    return order, torch.where(words.to(labels.device), labels, -1)[order][: int(said.sum())]
