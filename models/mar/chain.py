"""Tokens inside their diffusion chains: any number, each with its own chain length, place, temperature and guidance."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Protocol

import torch
from torch import Tensor, nn

from models.decoding.sampling import guide
from models.layers.linear import pad_rows
from models.mar.diffusion import Chains, posterior, reverse


class Head(Protocol):
    """A diffusion head: see `DiffusionHead`, or `FusedHead`, which is faster."""

    @property
    def condition(self) -> nn.Module: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def time(self, t: Tensor) -> Tensor: ...

    def denoise(self, x: Tensor, y: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Chain:
    """The n tokens that one step of a sequence makes, `done` reverse steps into their chains of `length`.

    W is the head's width; conditions are `ChainStepper.condition` of z. unconditional has no rows without guidance.
    """

    key: int  # of the sequence's noise
    position: Tensor  # [n]
    x: Tensor  # [n, C] float32
    condition: Tensor  # [n, W]
    unconditional: Tensor  # [n, W] or [0, W]
    length: int
    temperature: float
    scale: float
    bound: float = inf  # of estimates of the token
    done: int = 0

    @property
    def left(self) -> int:
        """Reverse steps that remain."""
        return self.length - self.done

    @property
    def rows(self) -> int:
        """Of the head in one reverse step."""
        return len(self.condition) + len(self.unconditional)

    def at(self, x: Tensor, steps: int) -> "Chain":
        """The same tokens `steps` reverse steps later."""
        return replace(self, x=x, done=self.done + steps)


@dataclass(frozen=True)
class ChainRows:
    """N rows, of which G are guided."""

    row: Tensor  # [N] of the table of `Chains`
    condition: Tensor  # [N, W]
    temperature: Tensor  # [N]
    guided: Tensor  # [G] which of the N
    unconditional: Tensor  # [G, W]
    scale: Tensor  # [G]
    bound: Tensor | None = None  # [N], where estimates of the tokens are bounded


class ChainStepper:
    """The head beside its chains. What it knows of each timestep is computed once."""

    @torch.no_grad()
    def __init__(self, head: Head, train_steps: int, device: torch.device | str = "cpu") -> None:
        self.head = head
        self.device = device
        self.chains = Chains(train_steps, device)
        self.time = head.time(torch.arange(train_steps, device=device))  # [T, W]

    def condition(self, z: Tensor) -> Tensor:
        """Decoder outputs z [N, D] -> [N, W]: constant through a chain, so it is computed once for each token."""
        out: Tensor = self.head.condition(pad_rows(z))
        return out[: len(z)]

    def rows(self, chains: Sequence[Chain]) -> ChainRows:
        """The tokens of all `chains`, one chain after the other, at the reverse step that is due."""
        counts = [len(chain.position) for chain in chains]

        def each(values: Sequence[float]) -> Tensor:
            return torch.tensor(values, device=self.device).repeat_interleave(
                torch.tensor(counts, device=self.device), output_size=sum(counts)
            )

        guided = each([float(len(chain.unconditional) > 0) for chain in chains]).nonzero().squeeze(-1)
        bounded = any(chain.bound < inf for chain in chains)
        return ChainRows(
            row=each([self.chains.row(chain.length, chain.left - 1) for chain in chains]).long(),
            condition=torch.cat([chain.condition for chain in chains]),
            temperature=each([chain.temperature for chain in chains]),
            guided=guided,
            unconditional=torch.cat([chain.unconditional for chain in chains]),
            scale=each([chain.scale for chain in chains])[guided],
            bound=each([chain.bound for chain in chains]) if bounded else None,
        )

    def run(self, x: Tensor, rows: ChainRows, draws: Tensor) -> Tensor:
        """Reverse steps of all rows, one after the other: x [N, C], draws [S, N, C] float32 -> x [N, C].

        Rows must have S steps left; changes nothing.
        """
        for step, draw in enumerate(draws):
            x = self.advance(x, replace(rows, row=rows.row - step), draw)
        return x

    def advance(self, x: Tensor, rows: ChainRows, draw: Tensor) -> Tensor:
        """One reverse step of every row: x, draw [N, C] float32 -> x [N, C]; changes nothing.

        Guidance steers the predicted noise; the variance stays that of the conditional branch.
        """
        total = len(x) + len(rows.guided)
        time = self.time[self.chains.timesteps[rows.row]]
        y = torch.cat([time + rows.condition, time[rows.guided] + rows.unconditional])
        both = torch.cat([x, x[rows.guided]]).to(self.head.dtype)
        out = self.head.denoise(pad_rows(both), pad_rows(y))[:total].float()
        noise, variance = out[: len(x)].chunk(2, dim=-1)
        free = out[len(x) :, : noise.shape[-1]]
        noise = noise.index_put((rows.guided,), guide(noise[rows.guided], free, rows.scale))
        coefficients = self.chains.coefficients(rows.row)
        p = posterior(coefficients, x, noise, variance, rows.bound)
        return reverse(coefficients, p, rows.temperature, draw)
