"""The objective of MAGNeT's autoregressive twin (MusicGen, arXiv 2306.05284): the next row of delayed streams."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.magnet.delayed import delayed
from models.magnet.network import MAGNeT
from training.data.sound_tokens import SoundTokens
from training.objectives.dense import features_of
from training.objectives.masked_spans import spoken
from training.objectives.task import Loss, StepContext
from training.settings import DelayedSettings

Picture = Callable[[MAGNeT], Tensor]


class DelayedTask:
    """Trains a MAGNeT of known terms to tell each row from those before it."""

    parts: tuple[str, ...] = ("generator",)
    undecayed: tuple[str, ...] = ("embeddings", "terms")

    def __init__(self, network: MAGNeT, tokens: SoundTokens, settings: DelayedSettings, picture: Picture) -> None:
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
        """Some batches have the first codebooks alone: so it is asked when it judges what MAGNeT is making."""
        s, config, draws = self.settings, self.network.config, context.generator
        ids, labels = (part.to(self.network.device) for part in context.data)
        count = config.codebooks
        if float(torch.rand((), generator=draws)) < s.fewer:
            count = int(torch.randint(1, config.codebooks + 1, (), generator=draws))
        order, labels = spoken(labels, s, context)
        ids = ids[order]
        told = ids.clone()
        told[:, count:] = config.mask_id
        rows = delayed(told, config.mask_id)
        length = rows.shape[2]
        before = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
        features = self.network.norm(features_of(self.network, rows, before, labels).unflatten(0, (len(ids), length)))
        found = {}
        for codebook in range(count):
            logits = self.network.heads[codebook](features[:, codebook : codebook + ids.shape[2]])
            found[f"next{codebook + 1}"] = F.cross_entropy(logits.flatten(0, 1).float(), ids[:, codebook].flatten())
        value = torch.stack(list(found.values())).mean()
        yield Loss("generator", value, {"next": value.detach()} | {name: v.detach() for name, v in found.items()})

    def after_step(self, context: StepContext) -> dict[str, float]:
        return {}

    def picture(self, network: nn.Module) -> Tensor:
        assert isinstance(network, MAGNeT)
        return self._picture(network)
