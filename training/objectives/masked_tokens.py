"""The masked-token objective of MaskGIT (arXiv 2202.04200), and what the literature offers to vary it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.maskgit.network import UViT
from training.data.tokens import TokenSet
from training.objectives.hardness import Hardness
from training.objectives.masks import lowest, mask_counts, random_order, twins
from training.objectives.task import Loss, StepContext
from training.settings import MaskedTokenSettings

Picture = Callable[[UViT], Tensor]
Rows = Callable[[UViT, Tensor, Tensor], Tensor]


def token_rows(network: UViT, ids: Tensor, labels: Tensor) -> Tensor:
    """The trunk's rows of all tokens: ids [B, L], labels [B] or [B, W] -> [B, L, D].

    Attention is written out: its bf16 backward on CPU is several times faster than the fused one's.
    """
    b, length = ids.shape
    positions = torch.arange(length, device=ids.device).expand(b, length)
    tokens = network.embed_tokens(ids, positions)
    x = torch.cat([network.embed_condition(network.condition(labels))[:, None], tokens], dim=1)  # [B, 1+L, D]

    def attend(block: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (t.unflatten(0, (b, length + 1)).transpose(1, 2) for t in (q, k, v))
        weights = (q @ k.mT * q.shape[-1] ** -0.5).softmax(dim=-1).to(v.dtype)  # [B, H, 1+L, 1+L]
        return (weights @ v).transpose(1, 2).flatten(0, 1)

    return network.trunk(x.flatten(0, 1), attend).unflatten(0, (b, length + 1))[:, 1:]


def logits_where(network: UViT, ids: Tensor, labels: Tensor, where: Tensor, rows: Rows = token_rows) -> Tensor:
    """`network(ids, labels)[where]` for ids, where [B, L], labels [B] or [B, W]: the head runs on those rows only."""
    return network.head(rows(network, ids, labels)[where])


def entropies(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy of each hidden token, 1-e+e/K on the right one: logits [M, K], targets [M] -> [M]."""
    return F.cross_entropy(logits.float(), targets, label_smoothing=smoothing, reduction="none")


def divergence(logits: Tensor, teacher: Tensor) -> Tensor:
    """Mean Kullback-Leibler divergence of what a student says [M, K] from what its teacher says [M, K]."""
    mine, wanted = (x.float().log_softmax(-1) for x in (logits, teacher))
    return F.kl_div(mine, wanted, log_target=True, reduction="batchmean")


def likeness(network: UViT) -> Tensor:
    """Mean squared cosine between the mask token's embedding and those of the codes.

    The part of masked token optimisation (MTO, CVPR 2024) that a network with one table of embeddings can have: the
    mask token is kept unlike what it stands for.
    """
    table = network.token_emb.word_embeddings.weight
    size = network.config.codebook_size
    return F.cosine_similarity(table[:size], table[size:], dim=-1).square().mean()


def drawn(probabilities: Tensor, lots: Tensor) -> Tensor:
    """Categorical draws by uniform `lots` [...] from probabilities [..., K]."""
    return (probabilities.cumsum(-1) < lots[..., None]).sum(-1).clamp(max=probabilities.shape[-1] - 1)


@dataclass(frozen=True)
class Batch:
    """A share of a step. ids, seen: int64 [B, L]; labels [B] or [B, W]; masked: bool [B, L]; weight: see `_batch`."""

    ids: Tensor
    labels: Tensor
    masked: Tensor
    seen: Tensor
    weight: Tensor


class MaskedTokenTask:
    """Trains a U-ViT on cached tokens. `picture` draws the sample grid of the averaged network.

    `teacher`: a trained network over the same tokens and classes, for `settings.distil`.
    """

    undecayed: tuple[str, ...] = ()

    def __init__(
        self,
        network: UViT,
        tokens: TokenSet,
        settings: MaskedTokenSettings,
        picture: Picture,
        teacher: UViT | None = None,
    ) -> None:
        self.network, self.tokens, self.settings = network, tokens, settings
        self.draw, self.teacher = picture, teacher
        self.modules = nn.ModuleDict({"network": network})
        self.parts: tuple[str, ...] = ("network",)
        self.rows: Rows = token_rows
        self.hardness: Hardness | None = None
        if settings.order == "hard":
            self.hardness = Hardness(network.config.codebook_size, network.config.grid)
            self.modules["hardness"] = self.hardness
            self.parts = ("network", "hardness")

    @property
    def count(self) -> int:
        return len(self.tokens)

    def compile(self) -> None:
        self.rows = torch.compile(token_rows, dynamic=False)

    def fetch(self, rows: Tensor, mine: slice) -> tuple[Tensor, ...]:
        """All views of the tokens [S, B, L], labels [B] or [B, W]."""
        if self.settings.disjoint:
            rows = rows[_pairs(len(rows))]
        return self.tokens.ids[:, rows[mine]], self.tokens.labels[rows[mine]]

    def losses(self, context: StepContext) -> Iterator[Loss]:
        """Predict hidden tokens, as the settings say; the class is dropped now and then, for guidance."""
        s, batch = self.settings, self._batch(context)
        logits = logits_where(self.network, batch.seen, batch.labels, batch.masked, self.rows)
        targets = batch.ids[batch.masked]
        each = entropies(logits, targets, s.smoothing)
        loss = masked = batch.weight * each.mean()
        scalars = {"masked": masked}
        if self.teacher is not None:
            scalars["teacher"] = batch.weight * divergence(logits, self._told(batch))
            loss = (1 - s.distil) * masked + s.distil * scalars["teacher"]
        if s.unlike > 0:
            scalars["likeness"] = likeness(self.network)
            loss = loss + s.unlike * scalars["likeness"]
        with torch.no_grad():
            scalars["accuracy"] = (logits.argmax(-1) == targets).float().mean()
        each = each.detach()
        del logits  # parts of a batch wait here for each other
        yield Loss("network", loss, scalars)
        if self.hardness is not None:
            guess = batch.weight * self.hardness.loss(batch.ids, batch.masked, each)
            yield Loss("hardness", guess, {"hardness": guess})

    @torch.no_grad()
    def _told(self, batch: Batch) -> Tensor:
        assert self.teacher is not None
        return logits_where(self.teacher, batch.seen, batch.labels, batch.masked)

    def _batch(self, context: StepContext) -> Batch:
        """Draws are for the whole batch, then this process takes its share.

        `weight` makes the mean over processes the mean over all hidden tokens.
        """
        s, config, g, size, mine = self.settings, self.network.config, context.generator, context.size, context.mine
        view = torch.randint(len(self.tokens.ids), (size,), generator=g)
        counts = mask_counts(s.ratio, size, config.length, g)
        order = random_order(s.order, size, config.grid, g)
        silent = torch.rand(size, generator=g) < s.class_dropout
        lots = torch.rand(2, size, config.length, generator=g) if s.corrupt > 0 else torch.ones(2, size, 1)
        unsaid = torch.rand(size, config.words, generator=g) < s.word_dropout
        weight = counts[mine].sum() * mine.step / counts.sum()
        if s.disjoint:
            view, order = view[_pairs(size)], twins(order)
        views, labels = context.data
        ids = views[view[mine], torch.arange(len(labels))]
        device = self.network.mlm_layer.bias.device
        labels = self._asked(labels, silent[mine], unsaid[mine])
        ids, labels, counts, order, weight, lots = (
            t.to(device, non_blocking=True) for t in (ids, labels, counts[mine], order[mine], weight, lots[:, mine])
        )
        if self.hardness is not None:
            order = self.hardness.prefer(order, ids, s.hardest * context.step / context.steps)
        masked = lowest(order, counts)
        seen = ids.masked_fill(masked, config.mask_id)
        if s.corrupt > 0:
            wrong = (lots[0] < s.corrupt) & ~masked
            seen = seen.masked_scatter(wrong, self._mistakes(seen, labels, wrong, lots[1][wrong]))
        return Batch(ids, labels, masked, seen, weight)

    def _asked(self, labels: Tensor, silent: Tensor, unsaid: Tensor) -> Tensor:
        """Labels [B] or [B, W] as the network is asked: nothing where `silent` [B], terms but those `unsaid` [B, W]."""
        nothing = torch.tensor(self.network.config.label(None))
        if not self.network.config.words:
            return torch.where(silent, nothing, labels)
        labels = labels.masked_fill(unsaid, -1)
        silent = silent | (labels < 0).all(dim=1)
        return torch.where(silent[:, None], nothing, labels)

    @torch.no_grad()
    def _mistakes(self, seen: Tensor, labels: Tensor, wrong: Tensor, lots: Tensor) -> Tensor:
        """What stands at the `wrong` positions instead of the truth: any code, or what the network itself would say."""
        config = self.network.config
        if self.settings.corrupt_with == "uniform":
            return (lots * config.codebook_size).long()
        logits = logits_where(self.network, seen.masked_fill(wrong, config.mask_id), labels, wrong)
        torch.clear_autocast_cache()  # weights that were cast here carry no gradients
        return drawn(logits.float().softmax(-1), lots)

    def after_step(self, context: StepContext) -> dict[str, float]:
        return {}

    def picture(self, network: nn.Module) -> Tensor:
        assert isinstance(network, UViT)
        return self.draw(network)


def _pairs(size: int) -> Tensor:
    """Which row each of `size` samples shows when every image is there twice: 0, 0, 1, 1, ..."""
    return torch.arange(size) // 2
