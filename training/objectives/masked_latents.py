"""The objective of MAR (arXiv 2406.11838): hidden latent tokens are denoised, given what the network says of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.mar.loss import DiffusionLoss
from models.mar.network import MAR
from training.data.latents import LatentSet
from training.objectives.masks import shared_count
from training.objectives.task import Loss, StepContext
from training.settings import MaskedLatentSettings

Picture = Callable[[MAR], Tensor]
Rows = Callable[[MAR, Tensor, Tensor, Tensor], Tensor]


def hidden_rows(network: MAR, tokens: Tensor, labels: Tensor, order: Tensor) -> Tensor:
    """What the head is told of hidden tokens: shown tokens [B, n, C], labels [B], order [B, L] -> z [B * (L - n), D].

    Rows of `order` are positions, the n shown ones last. Every sample shows as many, so attention is one call for all;
    it is written out: its bf16 backward on CPU is faster than the fused one's.
    """
    config, (b, n) = network.config, tokens.shape[:2]
    hidden = order[:, : config.length - n]
    front = torch.arange(config.buffer, device=order.device).expand(b, -1)
    shown = torch.cat([front, order[:, config.length - n :] + config.buffer], dim=1)  # [B, r] encoder slots
    places = torch.arange(config.slots, device=order.device).expand(b, -1)
    rows = torch.arange(shown.numel(), device=order.device).view_as(shown)
    source = torch.full_like(places, -1).scatter(1, shown, rows)  # [B, S]
    values = torch.cat([tokens.new_zeros(b, config.buffer, tokens.shape[2]), tokens], dim=1)
    branch = torch.arange(b, device=order.device).repeat_interleave(shown.shape[1])
    attend = Together(b, config.dropout if network.training else 0.0)
    encoded = network.encode(values.flatten(0, 1), shown.flatten(), branch, network.condition(labels), attend)
    decoded = network.decode(encoded, source.flatten(), places.flatten(), attend).unflatten(0, (b, -1))
    wanted = decoded.gather(1, (hidden + config.buffer).unsqueeze(-1).expand(-1, -1, decoded.shape[2]))
    return network.place(wanted.flatten(0, 1), hidden.flatten())


@dataclass(frozen=True)
class Together:
    """Attention of `samples` branches of one length, side by side."""

    samples: int
    dropout: float

    def __call__(self, block: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v [R, H, E] -> [R, H, E]."""
        q, k, v = (t.unflatten(0, (self.samples, -1)).transpose(1, 2) for t in (q, k, v))
        weights = (q @ k.mT * q.shape[-1] ** -0.5).softmax(dim=-1).to(v.dtype)
        weights = F.dropout(weights, self.dropout)
        return (weights @ v).transpose(1, 2).flatten(0, 1)


@dataclass(frozen=True)
class Batch:
    """A share of a step, each sample's m hidden tokens first, denoised R times.

    tokens: [B, L, C] in the order of the positions `order` [B, L]; labels: [B]; level: int64 [B, R, m];
    noise: [B, R, m, C].
    """

    tokens: Tensor
    labels: Tensor
    order: Tensor
    level: Tensor
    noise: Tensor


class MaskedLatentTask:
    """Trains a MAR on cached latents. `picture` draws the sample grid of the averaged network."""

    parts: tuple[str, ...] = ("network",)
    undecayed: tuple[str, ...] = ("head.", "encoder_positions", "decoder_positions", "head_positions")

    def __init__(self, network: MAR, latents: LatentSet, settings: MaskedLatentSettings, picture: Picture) -> None:
        self.network, self.latents, self.settings, self.draw = network, latents, settings, picture
        self.criterion = DiffusionLoss(network.config.train_steps)
        self.modules = nn.ModuleDict({"network": network, "criterion": self.criterion})
        self.rows: Rows = hidden_rows
        self.denoise: Callable[[Tensor, Tensor], Tensor] = network.head.denoise

    @property
    def count(self) -> int:
        return len(self.latents)

    def compile(self) -> None:
        self.rows = torch.compile(hidden_rows, dynamic=True)
        self.denoise = torch.compile(self.network.head.denoise, dynamic=True)

    def fetch(self, rows: Tensor, mine: slice) -> tuple[Tensor, ...]:
        """Mean and deviation of all views [S, B, L, C], labels [B]."""
        chosen = rows[mine]
        return self.latents.mean[:, chosen], self.latents.deviation[:, chosen], self.latents.labels[chosen]

    def losses(self, context: StepContext) -> Iterator[Loss]:
        """Denoise the hidden tokens, each at several levels of noise; now and then without the class, for guidance."""
        batch, head = self._batch(context), self.network.head
        hidden = batch.noise.shape[2]
        z = self.rows(self.network, batch.tokens[:, hidden:], batch.labels, batch.order)
        told = head.condition(z).unflatten(0, (-1, 1, hidden))  # [B, 1, hidden, W]
        x0 = batch.tokens[:, None, :hidden].expand_as(batch.noise)
        y = told + F.embedding(batch.level, self._times())
        x0, y, level, noise = (t.flatten(0, 2) for t in (x0, y, batch.level, batch.noise))
        x = self.criterion.noised(x0, level, noise)
        found = self.criterion.judged(self.denoise(x, y), x, x0, level, noise)
        mse, vb = found.mse.mean(), found.vb.mean()
        yield Loss("network", mse + vb, {"mse": mse, "vb": vb})

    def _batch(self, context: StepContext) -> Batch:
        """Draws are for the whole batch, then this process takes its share."""
        s, config, g, size, mine = self.settings, self.network.config, context.generator, context.size, context.mine
        hidden = shared_count(s.ratio, config.length, g)
        view = torch.randint(len(self.latents.mean), (size,), generator=g)
        order = torch.rand(size, config.length, generator=g).argsort(dim=1)
        silent = torch.rand(size, generator=g) < s.class_dropout
        spread = torch.randn(size, config.length, config.token_channels, generator=g)
        level = torch.randint(config.train_steps, (size, s.repeats, hidden), generator=g)
        noise = torch.randn(size, s.repeats, hidden, config.token_channels, generator=g)
        device = self.network.mask_token.device
        mean, deviation, labels = (t.to(device, non_blocking=True) for t in context.data)
        view, order, silent, spread, level, noise = (
            t[mine].to(device, non_blocking=True) for t in (view, order, silent, spread, level, noise)
        )
        at = view, torch.arange(len(labels), device=device)
        tokens = mean[at].float() + deviation[at].float() * spread  # [B, L, C]
        tokens = tokens.gather(1, order.unsqueeze(-1).expand_as(tokens))
        return Batch(tokens, labels.masked_fill(silent, config.null_class), order, level, noise)

    def _times(self) -> Tensor:
        """What the head says of every timestep [T, W]: there are fewer of them than tokens in a batch."""
        return self.network.head.time(torch.arange(self.criterion.train_steps, device=self.network.mask_token.device))

    def after_step(self, context: StepContext) -> dict[str, float]:
        return {}

    def picture(self, network: nn.Module) -> Tensor:
        assert isinstance(network, MAR)
        return self.draw(network)
