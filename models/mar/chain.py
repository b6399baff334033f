"""Tokens inside their diffusion chains: any number, each with its own chain length, place, temperature and guidance."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.decoding.sampling import guide
from models.layers.linear import pad_rows
from models.mar.diffusion import Chains, posterior, reverse
from models.mar.head import DiffusionHead


@dataclass(frozen=True)
class ChainRows:
    """N rows, of which G are guided. W is the head's width; `condition` is `DiffusionHead.condition` of z."""

    row: Tensor  # [N] of the table of `Chains`
    condition: Tensor  # [N, W]
    temperature: Tensor  # [N]
    guided: Tensor  # [G] which of the N
    unconditional: Tensor  # [G, W]
    scale: Tensor  # [G]

    def take(self, which: Tensor, row: Tensor) -> "ChainRows":
        """The rows `which` [n], now at table rows `row` [n]."""
        twin = torch.full_like(self.row, -1)
        twin[self.guided] = torch.arange(len(self.guided), device=twin.device)
        twin = twin[which]
        guided = (twin >= 0).nonzero().squeeze(-1)
        twin = twin[guided]
        return ChainRows(
            row=row,
            condition=self.condition[which],
            temperature=self.temperature[which],
            guided=guided,
            unconditional=self.unconditional[twin],
            scale=self.scale[twin],
        )


class ChainStepper:
    """The head beside its chains. What it knows of each timestep is computed once."""

    @torch.no_grad()
    def __init__(
        self, head: DiffusionHead, train_steps: int, lengths: Sequence[int], device: torch.device | str = "cpu"
    ) -> None:
        self.head = head
        self.chains = Chains(train_steps, lengths, device)
        self.time = head.time(pad_rows(self.chains.timesteps))  # [rows, W]

    def condition(self, z: Tensor) -> Tensor:
        """Decoder outputs z [N, D] -> [N, W]: constant through a chain, so it is computed once for each token."""
        out: Tensor = self.head.condition(pad_rows(z))
        return out[: len(z)]

    def advance(self, x: Tensor, rows: ChainRows, draw: Tensor) -> Tensor:
        """One reverse step of every row: x, draw [N, C] float32 -> x [N, C]; changes nothing.

        Guidance steers the predicted noise; the variance stays that of the conditional branch.
        """
        total = len(x) + len(rows.guided)
        time = self.time[rows.row]
        y = torch.cat([time + rows.condition, time[rows.guided] + rows.unconditional])
        both = torch.cat([x, x[rows.guided]]).to(self.head.dtype)
        out = self.head.denoise(pad_rows(both), pad_rows(y))[:total].float()
        noise, variance = out[: len(x)].chunk(2, dim=-1)
        free = out[len(x) :, : noise.shape[-1]]
        noise = noise.index_put((rows.guided,), guide(noise[rows.guided], free, rows.scale))
        coefficients = self.chains.coefficients(rows.row)
        p = posterior(coefficients, x, noise, variance)
        return reverse(coefficients, p, rows.temperature, draw)
