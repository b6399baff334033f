"""The published samplers as tables: every network call of any of them is the same formula with other coefficients.

DDPM (arXiv 2006.11239) and DDIM without noise (arXiv 2010.02502), for networks that predict noise. Rows of one batch
may each be at another place of another sampler.
"""

from dataclasses import dataclass
from math import inf
from typing import Literal

import torch
from torch import Tensor

from models.mcvd.diffusion import Levels, Spacing, visited

FIELDS = 8


@dataclass(frozen=True)
class Sampler:
    """How a block is made. The defaults are our own; `official` is what the published code does.

    clip: bound of what a call estimates the block to be. full_variance: DDPM adds noise of variance beta, not of the
    posterior's. consistent: DDIM follows the noise that belongs to the clipped estimate (diffusers'
    `use_clipped_model_output`), not the predicted one. final_denoise: one more call behind the last step removes the
    noise that it sees. The published code gives it the number of the step as its level, which is right with all T
    steps; with 100 it is almost pure noise, and what is removed is contrast, with 10 up to a third of it.
    """

    kind: Literal["ddpm", "ddim"] = "ddpm"
    steps: int = 100
    clip: float = 1.0
    spacing: Spacing = "even"
    final_denoise: bool = False
    full_variance: bool = False
    consistent: bool = False

    @classmethod
    def official(
        cls,
        kind: Literal["ddpm", "ddim"],
        steps: int,
        denoise: bool = True,
        clip_before: bool = True,
        just_beta: bool = False,
    ) -> "Sampler":
        """By the names that the published code has for its options."""
        return cls(kind, steps, 1.0 if clip_before else inf, "official", denoise, just_beta)


@dataclass(frozen=True)
class Coefficients:
    """float32 [N, 1, 1, 1] each: what a call of N rows multiplies."""

    noise_share: Tensor  # of x, standard deviations
    signal_share: Tensor
    of_x0: Tensor
    of_x: Tensor
    of_noise: Tensor
    spread: Tensor  # of the noise that is added
    clip: Tensor
    kept: Tensor  # of the signal's variance, behind the step


def columns(levels: Levels, sampler: Sampler) -> tuple[Tensor, Tensor]:
    """Of every call of `sampler`: the level that the network is told [S], and float32 [S, 8] as in `Coefficients`."""
    places = visited(len(levels.kept), sampler.steps, sampler.spacing)
    chosen = levels.visiting(places)
    kept, after, beta = chosen.kept, chosen.kept_after, chosen.betas
    zero, one = torch.zeros_like(kept), torch.ones_like(kept)
    noise, signal = (1.0 - kept).sqrt(), kept.sqrt()
    if sampler.kind == "ddpm":
        of_x0 = after.sqrt() * beta / (1.0 - kept)
        of_x = (1.0 - beta).sqrt() * (1.0 - after) / (1.0 - kept)
        variance = beta if sampler.full_variance else (1.0 - after) / (1.0 - kept) * beta
        of_noise, spread = zero, torch.cat([variance[:-1].sqrt(), zero[:1]])  # the last step adds none
    elif sampler.consistent:
        of_x = ((1.0 - after) / (1.0 - kept)).sqrt()
        of_x0 = after.sqrt() - of_x * signal
        of_noise, spread = zero, zero
    else:
        of_x0, of_x, of_noise, spread = after.sqrt(), zero, (1.0 - after).sqrt(), zero
    table = torch.stack([noise, signal, of_x0, of_x, of_noise, spread, one * sampler.clip, after], dim=-1)
    if not sampler.final_denoise:
        return torch.tensor(places), table
    last = torch.tensor([[0.0, 1.0, 0.0, 1.0, -float(noise[-1]), 0.0, inf, 1.0]])
    return torch.tensor([*places, len(places) - 1]), torch.cat([table, last])


def calls_of(train_steps: int, sampler: Sampler) -> int:
    """Network calls of a block. ValueError for impossible numbers of steps."""
    return len(visited(train_steps, sampler.steps, sampler.spacing)) + sampler.final_denoise


class SamplerTables:
    """Samplers that were asked for, in one table, so that rows of any of them share a call."""

    def __init__(self, levels: Levels, device: torch.device | str = "cpu") -> None:
        self.levels = levels
        self._rows: dict[Sampler, range] = {}
        self.labels = torch.empty(0, dtype=torch.long, device=device)  # [rows]: levels that the network is told
        self.table = torch.empty(0, FIELDS, device=device)  # [rows, 8]

    def rows(self, sampler: Sampler) -> range:
        """The table's rows of a block's network calls, in their order. ValueError for impossible numbers of steps."""
        if sampler not in self._rows:
            self._add(sampler)
        return self._rows[sampler]

    def _add(self, sampler: Sampler) -> None:
        labels, table = columns(self.levels, sampler)
        self._rows[sampler] = range(len(self.labels), len(self.labels) + len(labels))
        self.labels = torch.cat([self.labels, labels.to(self.labels.device)])
        self.table = torch.cat([self.table, table.to(self.table.device)])

    def coefficients(self, rows: Tensor) -> Coefficients:
        """Of table rows [N]."""
        return Coefficients(*self.table[rows, :, None, None, None].unbind(dim=1))


def estimate(c: Coefficients, x: Tensor, noise: Tensor) -> Tensor:
    """What the blocks will be, by the noise that the network sees in x, both float32 [N, K, S, S]."""
    return ((x - c.noise_share * noise) / c.signal_share).clamp(-c.clip, c.clip)


def advance(c: Coefficients, x: Tensor, noise: Tensor, x0: Tensor, draw: Tensor) -> Tensor:
    """One call's update of x by predicted noise, estimate and standard normal `draw`, float32 [N, K, S, S] each."""
    return c.of_x0 * x0 + c.of_x * x + c.of_noise * noise + c.spread * draw
